"""The word-level LSTM language model of Zaremba et al. (arXiv:1409.2329), with tied weights if wanted."""
from mxdl.gluon import HybridBlock, nn, rnn


class LanguageModel(HybridBlock):
    """T is steps, N parallel streams, L layers, H hidden units, V words."""

    def __init__(self, words: int, hidden: int, layers: int, dropout: float, tied: bool, **kwargs):
        super().__init__(**kwargs)
        self.state_shape = (layers, hidden)
        with self.name_scope():
            self.drop = nn.Dropout(dropout)
            self.encoder = nn.Embedding(words, hidden)
            self.lstm = rnn.LSTM(hidden, layers, dropout=dropout, input_size=hidden)
            self.decoder = nn.Dense(words, flatten=False, in_units=hidden,
                                    params=self.encoder.params if tied else None)

    def hybrid_forward(self, F, tokens, hidden, cell):
        """tokens: int[T, N]; hidden, cell: float[L, N, H].  Returns scores float[T, N, V] and the new states."""
        output, (hidden, cell) = self.lstm(self.drop(self.encoder(tokens)), [hidden, cell])
        return self.decoder(self.drop(output)), hidden, cell

"""Language models.  `facts` gives the vocabulary."""
from ..check import Fraction, Positive
from ..components import component


@component("model", task="language_model")
def lstm(facts, *, hidden: Positive = 200, layers: Positive = 2, dropout: Fraction = 0.2, tied: bool = True):
    """Embedding, LSTM layers, and scores for every word; `tied` uses the embedding as output weights too."""
    from .lstm import LanguageModel
    return LanguageModel(len(facts["vocabulary"]), hidden, layers, dropout, tied, prefix="lm_")

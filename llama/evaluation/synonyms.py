"""Synonyms for METEOR: none, or those of a WordNet that lies in a folder. nltk brings none and would fetch it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from llama.errors import importing

ADVICE = "give the folder that holds WordNet's files (lexnames, data.noun, index.noun, noun.exc and so on) to --wordnet"


class NoSynonyms:
    """Takes the place of WordNet where there is none: no word has a synonym."""

    def synsets(self, word: str) -> list[Any]:
        return []


def read_wordnet(folder: str | Path) -> Any:
    """WordNet from a local folder. Raises FileNotFoundError without the folder or one of its files, ValueError for damaged ones."""
    from llama.hf import library_errors

    path = Path(folder)
    if not path.is_dir():
        raise FileNotFoundError(f"There is no folder {path}; {ADVICE}.")
    with importing("nltk", "eval"):
        import nltk
        from nltk.corpus.reader.wordnet import WordNetCorpusReader

    class EnglishWordNet(WordNetCorpusReader):
        """WordNet without the map to other languages, for which nltk would look for a second WordNet among its fetched data."""

        def map_wn(self, version: str = "wordnet") -> None:
            return None

    root = str(path.resolve())
    if root not in nltk.data.path:  # nltk opens files below its data folders alone, and those of WordNet when they are needed
        nltk.data.path.append(root)
    with library_errors("WordNet", path, ADVICE), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that other languages are not available
        reader = EnglishWordNet(root, None)
        is_known = bool(reader.synsets("music"))
    if not is_known:
        raise ValueError(f"The WordNet in {path} does not know the word music; {ADVICE}.")
    return reader

"""Requests in other languages than English: recognised by their common words, so that they get a sentence and no guess.

The language model was trained on English alone: it takes the Spanish word "triste" for any word, and made happy music of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

LANGUAGES: Mapping[str, tuple[str, frozenset[str], frozenset[str]]] = {  # name -> its sentence, common words, words that suffice
    "German": (
        "Ich verstehe nur Englisch",
        frozenset(
            "ein eine einen einem einer der das und mit ohne für mach mache macht bitte spiel spiele ich möchte will nicht "
            "ist sind etwas kannst du mir auf dem den im zu mehr weniger viel kein keine jetzt nur noch stück lied musik "
            "takt takte dur moll wie welche welches welcher lang schnell langsam hoch tief zum walzer melodie länger kürzer".split()
        ),
        frozenset(
            "schneller langsamer lauter leiser traurig traurige trauriger trauriges traurigen fröhlich fröhliche fröhlicher "
            "fröhliches schlagzeug klavier geige gitarre tonart rückgängig akkorde nochmal langsames schnelles ruhiges "
            "ruhige heiter".split()
        ),
    ),
    "French": (
        "Je ne comprends que l'anglais",
        frozenset(
            "un une le la les des du de et avec sans pour moins fais joue jouer je veux voudrais moi est quel quelle quels "
            "dans en sur très pas ce cette morceau chanson musique mesure mesures majeur mineur mets mettre lente il "
            "elle".split()
        ),
        frozenset(
            "triste tristes joyeux joyeuse gai gaie rapide lentement batterie tonalité vite accords violon guitare "
            "annule mélodie flûte".split()
        ),
    ),
    "Spanish": (
        "Solo entiendo inglés",
        frozenset(
            "un una el los las de del y con sin para más mas menos haz hazlo toca tocar quiero quisiera qué que cuál cual "
            "en por muy esta este pieza música compás compases vals mayor menor favor la lo".split()
        ),
        frozenset(
            "triste tristes alegre alegres canción rápido rápida despacio batería guitarra tonalidad acordes violín "
            "deshacer melodía flauta".split()
        ),
    ),
    "Italian": (
        "Capisco solo l'inglese",
        frozenset(
            "un una il lo gli le di del con senza più piu meno fai fallo suona suonare voglio vorrei mi è che quale quali "
            "molto questo questa brano musica battuta battute valzer maggiore minore favore la".split()
        ),
        frozenset(
            "triste tristi allegra veloce lentamente batteria chitarra tonalità accordi violino annulla melodia flauto "
            "canzone pianoforte".split()
        ),
    ),
}
ENGLISH = frozenset(
    "the with without for and make play it its is are in of to more less a an my this that what which how give me you please can i write "
    "something piece song tune music no not but like sad happy slow fast called titled named".split()
)  # words of none of the languages above mean English; those that are both count for neither
SAD = frozenset("triste tristes tristi traurig traurige trauriger trauriges".split())  # even within English: no happy piece is made of them
EXAMPLE = "please ask in English, such as 'a sad waltz for piano' or 'make it faster'"


def foreign_answer(text: str) -> str | None:
    """The sentence for a request in another language; None for English, and for what may be.

    A request is in another language if it holds two of its common words or one that suffices, and no English one that is not a
    word of that language as well.
    """
    words = re.findall(r"[^\W\d_]+", text.lower())[:100]
    scores = {}
    for name, (_, common, sure) in LANGUAGES.items():
        found = [word for word in words if word in common or word in sure]
        english = [word for word in words if word in ENGLISH and word not in common]
        if (not english or SAD & {*found}) and (len({*found}) >= 2 or any(word in sure for word in found)):
            scores[name] = (len(found), sum(word in common for word in found))
    if not scores:
        return None
    best = max(scores, key=lambda name: scores[name])
    tied = [name for name in scores if scores[name] == scores[best]]
    said = f" ({LANGUAGES[best][0]}.)" if len(tied) == 1 else ""
    return f"I understand only English{said}; {EXAMPLE}."

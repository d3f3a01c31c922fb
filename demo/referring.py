"""Whether words lean on something that was heard or seen before: a list of rules, of which the first that fits decides.

Each rule is a verdict, a pattern on lower-case text, and a sentence that it is there for. Before them, what is only polite
("great, ...") and what only looks like a reference ("what time is it") is taken out. Patterns name vocabulary in braces.
Where a wish and a change are worded alike ("a waltz", "violin"), it is a wish: a new piece never spoils the last one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

from llama.notes import LEADS

INSTRUMENTS = (*LEADS, "strings", "pad", "synth", "sax", "fiddle", "drums?", "percussion", "bass", "keyboard", "horn", "oboe", "banjo", "trombone", "ukulele")
WORDS = {
    "instrument": "|".join(INSTRUMENTS),
    "whole": "piece|song|tune|track|music|recording|melody|theme|result",
    "part": "piece|song|tune|track|music|recording|melody|theme|lead|solo|accompaniment|chords?|harmony|backing|background|drum(?:s|mer| kit| beat)?"
            "|percussion|beat|bass|tempo|speed|pace|key|mode|scale|metre|meter|rhythm|time signature|instruments?|style|genre|volume|ending",
    "music": "piece|song|tune|track|music|melody|theme|number|waltz|ballad|lullaby|dance|rock|swing|jazz|ambient|techno|house|loop|jingle|soundtrack|groove|jam"
             "|march|hymn|solo",
    "make": "write|compose|make|create|play|give|produce|generate|improvise|do|have|want|need|like|love|get|record|build|try|hear|prefer",
    "compared": "faster|slower|quicker|sadder|happier|calmer|livelier|darker|brighter|gloomier|softer|louder|quieter|lighter|heavier|higher|lower|deeper|longer"
                "|shorter|gentler|jazzier|merrier|moodier|simpler|warmer|funkier|groovier|wilder|smoother|dreamier",
    "praise": "great|nice|good|cool|lovely|beautiful|wonderful|perfect|awesome|amazing|fantastic|fine|excellent|brilliant|interesting|fun|funny|okay|ok|sweet|pretty|all",
    "image": "picture|image|photo|photograph|painting|drawing|pic|snapshot",
    "video": "clip|video|film|movie|footage|animation",
    "ordinal": "first|1st|second|2nd|third|3rd|fourth|4th|last|previous",
    "number": "one|two|three|four|[1-9]",
    "property": "key|tempo|bpm|speed|pace|metre|meter|mode|scale|style|genre|rhythm|time signature|beats?|instruments?|chords?|drums?|drummer|percussion|accompaniment|backing|melody|lead|solo|bass",
    "ask_you": "(?:can|could|would|will) you|please|now|and|then|let's|i(?:'d| would)? (?:want|like) you to",
    "ask": "which|what|how (?:fast|slow|quick|many)|is there|are there|is|are|do you hear|can you hear|did you|any|who plays|who's playing|name|tell me|find|identify|determine|does the|do i hear|whats|what's",
}  # fmt: skip


@dataclass(frozen=True)
class Rule:
    leans: bool
    pattern: str
    example: str  # a sentence that this rule decides


RULES = (
    # Questions about the world, about music in general and about what the model can do.
    Rule(False, r"^(?!.*\b(?:it|this|that|they|here|there)\b)(?:(?:how (?:do|can|would|should|does) (?:i|you|one|we|people|a|an)|why|who (?:was|wrote|invented|composed|sang)|when|where"
                r"|explain|define|tell me (?:more )?about (?!the)|do you (?:know|like|believe|speak)|can you (?:sing|read|help|speak)|does (?:a|an)|is (?:a|an)|are (?:all|most|you)|have you"
                r"|describe (?!(?:the {whole}|what)\b)\w+|what(?:'s| is| are| was| were| does| do) (?:a|an|you (?!hear)|your|the (?:difference|meaning|capital|weather)))\b"
                r"|what(?:'s| is| are) (?!the|its|playing|major|minor)\w+(?: \w+)?\W*$)", "How do I tune a guitar?"),
    Rule(False, r"^(?:which|what) .*\b(?:can|could|do|would) you (?:know|play|make|do|offer|support|speak|have|use)\W*$", "Which instruments can you play?"),
    Rule(False, r"^(?:which|what|how) .*\b(?:is|are|does|do|has|have|in|of|on) (?:a|an) (?!minor|major|sharp|flat)\w+(?: have| use| need)?\W*$", "What tempo is a waltz?"),
    # What only an earlier piece can be meant by, whatever else is said.
    Rule(True, r"\b(?:the same|(?:like|of|than) (?:it|this|that|these)|instead|again|(?:version|cover|variation|remix)s?|another (?:one|take)|more of|go on from|similar|that kind|play along)\b",
         "A waltz like that one"),
    Rule(True, r"\b(?:this|that|my|the (?:last|previous)) (?:{whole}|one)\b", "Turn my recording into a dance"),
    Rule(True, r"\b(?:a|an|the) (?:bit |little |much )?(?:{compared}) (?:one|tempo)\b|^but\b|^same\b", "I want a slower one"),
    Rule(True, r"^(?:{ask_you} ?)*(?:make|turn|play|do|put|try|change|arrange|convert|rework) (?:it|this|that)\b", "Could you make it a rock song?"),
    Rule(True, r"^(?:{ask_you} ?)*(?:(?:let|have) (?:a|an|the) (?:\w+ )?(?:{instrument}) (?:play|take|carry|lead|sing|join)|(?:add|remove|drop|delete|cut|mute|lose|strip|replace|swap|change|switch|transpose|(?:speed|slow)(?= (?:it|this|that|the|up|down))"
               r"|raise|lower|increase|decrease|reduce|double|halve|take (?:out|away|off)|leave|keep|get rid of|bring in|put in|throw in|include|set (?:the|it)|rearrange|extend|vary|redo|rescore) (?!\d+ (?!bpm|beats)|me\b|us\b)"
               r"|continue|go on|carry on|keep going|once more|encore)\b", "Add a drum beat"),
    # Something new: "a sad waltz", with or without a verb before it, the noun before any word that points back.
    Rule(False, r"\b(?:something|anything|sth|smth)\b", "Something calm for harp"),
    Rule(False, r"^(?:(?!(?:it|its|this|that|these|they|the|same|my|your|with|without|in|on|as|at|for|no|is|are|was|does|did|which|what|how|too|more|less|{compared})\b)[\w'/-]+:? )*?(?:{music})s?\b(?! it\b|\W*\?)", "Play a waltz"),
    Rule(False, r"^(?:in the mood |(?!(?:it|its|this|that|these|they|the|same|with|without|as|on|into|is|are|does)\b)[\w',/-]+ )*?(?:a|an|some|any|new|other|another|different) (?!bit|little|lot|tad)[^.?!]*?\b(?:{music})s?\b"
                r"|\b(?:would|does) (?!it\b|this\b|that\b|the\b).* sound\b", "For my party I want a march"),
    Rule(False, r"(?:^|\b(?:{make}) (?:me |us )?)(?:a|an|some) [^.?!]*?\b(?:{instrument})\b(?! instead|.*\b(?:melody|tune|lead|underneath|background)\b)", "I would like a soft harp"),
    # Pronouns, parts and comparisons.
    Rule(True, r"\b(?:it|its|them|they)\b|\bthis\b|(?:^|\b(?!{music}|{instrument}|one)\w+ )that\b(?! (?:is|has|makes|gives|sounds|goes|i|we)\b)", "Transpose that to G"),
    Rule(True, r"\b(?:the|your|those) (?:\w+ )?(?:{part})\b(?! of\b)", "Who plays the melody?"),
    Rule(True, r"\b(?:{compared})\b(?! than)|\b(?:more|less) (?!about|info|music|songs|pieces|than|please|help|examples|often)\w+"
               r"|^(?:far |way |much |a bit |a little )?(?:too|not so|not that|not as) (?!bad\b|sure\b)\w+|\b(?:speed|slow) (?:up|down)\b|\b(?:up|down) (?:a|an|one|two|by) ", "Way too fast!"),
    # What begins where another sentence ended.
    Rule(True, r"^(?:(?:and|now|then|or|next|maybe|perhaps|this time|try|how about|what about|what if|just|also)[\s,]+)*(?:(?:with|without|w/|w/o|minus|plus|over|featuring)\b|no (?:{part}|{instrument})\b"
               r"|(?:in|into|to) (?:a |the key of )?(?:[a-g]\b|[a-g][ -](?:sharp|flat)|major|minor|three|four|common|\d|another key)|on (?:a |an |the |solo )?(?:{instrument})\b|as an?\b"
               r"|(?:at )?(?:about )?\d+ ?(?:bpm|b\.p\.m|beats|$)|for (?:a |the |solo )?(?:{instrument})\b|as \w+\W*$|(?:a )?(?:major|minor)\b(?! or))", "Now with violin"),
    Rule(True, r"^(?:how|what) about (?:a|an|the|some) (?:{instrument})\W*$|^(?:more |i (?:want|miss|need) )?(?:a |the |some )?(?:drums|percussion|beat)(?: please| too| on| off| out)*\W*$"
               r"|\bas (?:the )?(?:lead|melody|backing|accompaniment)\b|\b(?:underneath|in the background)\b", "What about a flute?"),
    Rule(True, r"^(?:{ask_you} ?)*(?:use|try|put|choose|arrange) (?:a |an |the |some )?(?:\w+ )?(?:{instrument}|major|minor)\b", "Use a flute"),
    # Questions about a sound.
    Rule(True, r"^(?:and |so |now )*(?:{ask})\b.*\b(?:{property}|major|minor|swing|playing|you hear|{instrument})\b|^(?:the |main )?(?:{property})\W*\?|\bsoloist\b"
               r"|\b(?:major|minor|happy|sad|cheerful) or (?:major|minor|happy|sad|gloomy)\b|^describe\b|\bwhat (?:do|did) (?:you|i) hear\b|\b(?:{property})\b.*\?$|\bwhether\b", "Is there a bass in there?"),
)  # fmt: skip
_POLITE = (r"(?:(?:ok(?:ay)?|great|nice|cool|wow|super|thanks?(?: you)?(?: so much| a lot| very much)?|thx|hm+|well|alright|yes|yeah|no|(?:hey|hi|hello)(?: again| there)?|please|actually|sorry|perfect|lovely|awesome"
           r"|(?:i|we) (?:really |quite |do )?(?:like|love|enjoy|adore)(?:d|ed)? (?:it|this|that|(?:the|this|that|your) (?:{whole}))(?: one)?(?: a lot| very much)?|(?:this|that|it)(?:'s| is| was| sounds?| sounded) (?:so |very |really |quite |pretty |just )*(?:{praise}))"
           r"(?:[\s]*[,.!;:-]+\s*| (?=and|but|now|thank|can|could|make|then|let)|\W*$))+")
_DUMMY = (r"what time is it|how does (?:this|it) work|what can (?:this|it) do|\bthis (?:thing|page|site|place|article)|\bwill it be\b|how(?:'s| is) it going|\b(?:is|was|will|would) it (?:be )?(?:possible|ok|okay|true|going|gonna|rain|snow|cold|hard|easy)\w*"
          r"|\bit(?:'s| is) (?:my|raining|snowing|late|time|cold|hot|urgent|for|about)\b|\bthis (?:morning|evening|afternoon|night|week|weekend|month|year|summer|winter)")
_AGAIN = r"(?:and |please )*(?:again|once more|once again|one more time|same again|encore|repeat(?: it| that| this)?|(?:play|do|make) (?:it|that|this) (?:again|once more|one more time))(?: please)?"
_ANOTHER = (r"(?:and |please |give me |make |i want |let me hear |play )*(?:(?:another|one more|a different|a new) (?:take|try|one|version|variation)|another|try again|regenerate)(?: please)?")
_FOR_IT = r"\b(?:for|to go with|that (?:fits|suits|matches)|inspired by|score|accompany) (?:it|this|that)\b"
_SIGHT = r"\b(?:the|this|that|my|your|its|both) (?!(?:{whole}) (?:for|of|to|from))(?:\w+ )?(?:%s)s?\b"
_MUSIC_OF_SIGHT = r"\b(?:the|that|this) (?:{whole}|soundtrack) (?:for|of|to|from) "
_TAKE = (r"\bthe (?P<ordinal>{ordinal}) (?:one|take|version|piece|variant|result)\b|\bthe (?P<bare>first|second|third|fourth)(?=\W*$)"
         r"|\b(?:the )?(?:take|version|number|option|variant|piece) ?#?(?P<number>{number})\b|\bthe one (?P<before>before)\b(?: that| this)?")
_PLACES = {"first": 0, "1st": 0, "one": 0, "second": 1, "2nd": 1, "two": 1, "third": 2, "3rd": 2, "three": 2, "fourth": 3, "4th": 3,
           "four": 3, "last": -1, "previous": -2, "before": -2}

# What people say of moods that the training texts say of modes and speeds.
REWORDED = (
    (r"(?:a bit |a little |much |far |way |slightly )?(?:sadder|gloomier|darker|moodier|less (?:happy|cheerful|jolly|merry)|more (?:sad|gloomy|melancholic|melancholy|sombre|tragic))", "in minor"),
    (r"(?:a bit |a little |much |far |way |slightly )?(?:happier|brighter|merrier|sunnier|less (?:sad|gloomy|dark)|more (?:happy|cheerful|joyful|sunny|bright))", "in major"),
    (r"(?:far |way |much |a bit |a little )?too (?:happy|cheerful|jolly|merry|bright)(?: for me)?", "make it in minor"),
    (r"(?:far |way |much |a bit |a little )?too (?:sad|gloomy|dark|depressing)(?: for me)?", "make it in major"),
    (r"calmer|more (?:calm|relaxed|relaxing|peaceful)|less (?:hectic|energetic)", "slower"),
    (r"livelier|more (?:lively|energetic|energy|exciting|upbeat)|less (?:sleepy|boring)", "faster"),
)  # fmt: skip


def leans(text: str) -> bool:
    """Whether the words refer to something heard (or, where only that was given, seen) before."""
    decided = ruled(text)
    return decided is not None and decided.leans


def ruled(text: str) -> Rule | None:
    """The rule that decides about a message; None where none fits, and then it leans on nothing."""
    words = _pattern(_DUMMY).sub("...", _without_politeness(plain(text)))
    return next((rule for rule in RULES if _pattern(rule.pattern).search(words)), None)


def speaks_of(text: str, kind: str) -> bool:
    """Whether the words name a picture ("image") or a clip ("video") that is known, and mean it, not its music."""
    words = plain(text)
    return bool(_pattern(_SIGHT % WORDS[kind]).search(words)) and not _pattern(_MUSIC_OF_SIGHT).search(words)


def for_it(text: str) -> bool:
    """Whether something is wanted for "it": music for a picture, not for music."""
    return bool(_pattern(_FOR_IT).search(plain(text)))


def chosen(text: str) -> int | None:
    """Which piece is named, from 0; -1 is the last, -2 the one before it; None: none is."""
    found = _pattern(_TAKE).search(plain(text))
    if found is None:
        return None
    name = next(value for value in found.groups() if value)
    return _PLACES[name] if name in _PLACES else int(name) - 1


def again(text: str) -> Literal["same", "another"] | None:
    """Whether a message asks for the last request once more and nothing else: with the same seed, or another one."""
    words = plain(text).rstrip(".!? ")
    return "same" if _pattern(_AGAIN).fullmatch(words) else "another" if _pattern(_ANOTHER).fullmatch(words) else None


def reworded(text: str) -> str:
    """The instruction without what was only polite, a choice of pieces as "it", and moods in words of the training texts."""
    words = text.strip().replace("’", "'")
    words = words[len(words) - len(_without_politeness(words)) :] or words
    words = _pattern(_TAKE).sub("it", words)
    for pattern, better in REWORDED:
        words = _pattern(rf"\b(?:{pattern})\b").sub(better, words)
    return words[:1].upper() + words[1:]


def plain(text: str) -> str:
    """One line in lower case, with straight apostrophes."""
    return " ".join(text.replace("’", "'").lower().split())


def _without_politeness(words: str) -> str:
    found = _pattern(_POLITE).match(words)
    return words[found.end() :] if found else words


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    for name, vocabulary in WORDS.items():
        pattern = pattern.replace("{" + name + "}", vocabulary)
    return re.compile(pattern, re.IGNORECASE)

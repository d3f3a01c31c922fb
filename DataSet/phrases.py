"""The wording of dialogues: patterns with alternatives in braces, {one|another}, which may be nested.

The last sixth of every list of questions and requests is kept for testing and never seen in training.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

_INNERMOST = re.compile(r"\{([^{}]*\|[^{}]*)\}")


def spin(rng: np.random.Generator, pattern: str) -> str:
    """Choose one alternative of every {a|b}, innermost first; {names} without a bar stay for str.format."""
    while match := _INNERMOST.search(pattern):
        options = match.group(1).split("|")
        pattern = pattern[: match.start()] + options[int(rng.integers(len(options)))] + pattern[match.end():]
    return pattern


def pick(rng: np.random.Generator, patterns: Sequence[str], held_out: bool = False) -> str:
    """One pattern, spun; from the part kept for testing if `held_out`."""
    kept = max(1, len(patterns) // 6)
    pool = patterns[-kept:] if held_out else patterns[:-kept]
    return spin(rng, pool[int(rng.integers(len(pool)))])


def say(rng: np.random.Generator, patterns: Sequence[str]) -> str:
    """One of the model's own phrases: these are not held out."""
    return spin(rng, patterns[int(rng.integers(len(patterns)))])


PREFIXES = ("Please: ", "Listen: ", "Tell me: ", "Hello! ", "Question: ", "Hi, ", "Now: ", "OK. ", "And now: ", "I have a question. ", "So, ")
SUFFIXES = (" Please.", " Thanks.", " Thank you!", " please", " thanks", " I am curious.", " What do you think?")


def typed(rng: np.random.Generator, text: str) -> str:
    """The same as people type it: with a word before or after, without capitals, without the last mark."""
    if text and rng.random() < 0.08:
        text = PREFIXES[int(rng.integers(len(PREFIXES)))] + text
    if text and rng.random() < 0.06:
        text += SUFFIXES[int(rng.integers(len(SUFFIXES)))]
    if rng.random() < 0.2:
        text = text.lower()
    return text.rstrip(".?!") if rng.random() < 0.2 else text


_IT = "{the music|this music|this piece|the piece|this recording|this song|the song|this track|it}"

QUESTIONS: Mapping[str, tuple[str, ...]] = {
    "lead": (
        "What is playing the {tune|melody|lead|solo}{| here| in this}?", "{Which|What} instrument {sings|stands out|is the loudest|takes the lead}{| here}?", "The {tune|solo} is on {what|which instrument}?", "What {sort|kind} of instrument {plays|has} the {tune|melody}?", "Identify the {lead|main|solo} instrument.", "Is the {melody|lead} {a piano, a violin or something else|on strings or on winds}?", "{Who|What} is the soloist?", "Main instrument?",
        f"{{What|Which}} instrument plays the {{melody|tune|lead}}{{| here| in {_IT}}}?", "What plays the {melody|tune}?",
        f"{{Which|What}} is the {{lead|main|solo}} instrument{{| of {_IT}| here}}?", "Who has the {tune|melody|lead}?",
        "{Name|Tell me} the {lead|main} instrument.", f"{{What|Which}} instrument {{do I hear|am I hearing|do you hear}} {{most|in front|on top}}{{| in {_IT}}}?",
        "What carries the {melody|tune}?", "{Can|Could} you {tell|say} which instrument {has|plays|carries} the {melody|tune}?",
        "The {melody|lead}: which instrument is it?", "What is the solo instrument?", "{Which|What} instrument leads?",
        "Lead instrument?", "On {which|what} instrument is the {melody|tune} played?", "Do you know what instrument plays the {solo|melody}?",
        "Which voice is on top, by instrument?",
    ),
    "accompaniment": (
        "{Which|What} instrument is {behind|under|below} the {melody|solo|lead}?", "What is the {backing|background|harmony|chord} instrument?", "And the {chords|accompaniment|background}?", "Identify the {accompaniment|backing}.", "What {fills|makes} the background{| here}?", "What {plays|does} the {harmony|backing|chords}?", "Which instrument {supports|accompanies} the {soloist|singer|tune}?",
        "What {accompanies|supports|backs} the {melody|lead|tune}?", "{Which|What} instrument {accompanies|plays the chords|is in the background}?",
        f"What is the accompaniment{{| of {_IT}| here}}?", "What plays {the chords|behind the melody|in the background}?",
        "{Name|Tell me} the {accompaniment|accompanying instrument}.", "What {do you hear|is} behind the {melody|lead}?",
        "Who plays the {chords|harmony}?", "{Which|What} instrument is {used for|playing} the {chords|accompaniment}?",
        "What is under the {melody|tune}?", "Accompaniment?", "What {sounds|can be heard} besides the {melody|lead}?",
        "On {which|what} instrument are the chords played?",
        "What supports the soloist in the back?",
    ),
    "tempo": (
        "What's the {tempo|bpm|speed}{| here| of this}?", "How {fast|quick} is {this|that}{| in bpm|, in beats per minute}?", "{Measure|Count|Guess} the {tempo|beats per minute|bpm}.", "Is it {fast|slow}, and how much?", "Give {me |}the tempo{| as a number| in bpm}.", "How many bpm{| is it| is this| does this have}?", "{What|Which} tempo is {it|this|that}?", "Beats per minute?",
        f"How fast is {_IT}?", f"What is the tempo{{| of {_IT}| here}}?", "{What is the|Give me the|Tell me the} {bpm|tempo in bpm|speed}{|, please}.",
        "How many beats {per|a} minute{| does it have| is it| is that}?", "{Can|Could} you {tell|say|estimate} {how fast it is|the tempo|the bpm}?",
        f"At {{what|which}} {{tempo|speed}} is {_IT} played?", "How fast {does it go|is the beat|are they playing}?", "Tempo?", "BPM?",
        "What {bpm|speed} {is this|would you say}?", "Estimate the {tempo|speed|bpm}.", f"What tempo does {_IT} have?",
        "How quick is the {beat|pulse}?", "If I set a metronome, what number {do I|should I} choose?",
        "Which metronome mark would fit?",
    ),
    "mode": (
        "Is {the song|this song|it} {major|minor}?", "{Is this|Are we} in a major or {in |}a minor key?", "Which is it, {major or minor|minor or major}?", "{Identify|Name|Determine} the mode{|: major or minor}.", "{Does it sound|Do you hear} {major|minor} or {minor|major}?", "Would you say {it is |}{major or minor|minor or major}?",
        f"Is {_IT} in major or minor?", "Major or minor?", "Is {it|this} in a {major|minor} key or a {minor|major} {key|one}?",
        f"What {{mode|tonality}} is {_IT} in?", "Is the {mode|key|tonality} major or minor?", f"Does {_IT} sound major or minor?",
        "{Can|Could} you {tell|say} {if|whether} {it is|this is} {major or minor|minor or major}?", "Minor or major?",
        f"Would you call {_IT} major or minor?", "{Tell me|Say} {whether|if} it is in {major|minor} or {minor|major}.",
        "Is that a major or a minor {scale|key|mode}?", "The mode, is it major or minor?",
        "Does the scale have a major or a minor third?",
    ),
    "metre": (
        "What's the {time signature|metre|meter}{| here| of this}?", "{Is this|Is that} {in three or in four|in triple or duple time|a three or a four}?", "{Count|Tell me} the beats {per|in a|of a} bar.", "{Is the time signature|Is the metre} {3/4 or 4/4|4/4 or 3/4}?", "Time signature?", "How many beats per {bar|measure}?", "{Identify|Determine} the {metre|time signature}.",
        f"What {{metre|time signature|meter}} {{is {_IT} in|does {_IT} have|is it}}?", "How many beats are {there in|in} a bar?", "3/4 or 4/4?",
        "Is {it|this|the piece} in 3/4 or {in |}4/4?", "What is the {time signature|metre|meter}?", "{In which|Which} {metre|time signature} is {it|this}?",
        "Does it count in three or in four?", "How do I count {this|it}{|, in three or four}?", "{Tell me|Name} the {time signature|metre}.",
        "Metre?", "Three or four beats {a|to the} bar?", f"How many beats does a bar of {_IT} have?",
        "Could I dance a waltz to it, in three?",
    ),
    "drums": (
        "{Is there|Do I hear|Can I hear} {a drummer|drumming|a beat|any drumming|percussion}{| in it| in this| here}?", "{Are drums|Is percussion|Is a drum kit} {playing|used|present|in there}?", "{Does it|Does this} {use|contain|include} {drums|percussion}?", "Percussion?", "{Has it|Does it have} {a drum kit|a beat}?", "Does a drummer {take part|play|join}?",
        f"Are there drums{{| in {_IT}}}?", "{Do you|Can you} hear {drums|a drum kit|percussion}?", f"Does {_IT} have {{drums|percussion|a drum beat}}?",
        "Is there {any|some|a} {percussion|drum beat}?", "Is {somebody|anybody|someone} {drumming|playing drums|playing the drums}?", "Drums?",
        "With or without drums?", f"Has {_IT} got {{drums|a beat|percussion}}?", "Is a drummer playing?", "{Tell me|Say} {if|whether} there are drums.",
        "{Is|Would you say} {there is |there }a drum kit in it?", "Any drums {in there|here}?",
        "Is anything being hit with sticks?",
    ),
    "style": (
        "What's the {style|genre}{| here| of this}?", "{Identify|Determine|Guess} the {style|genre}.", "Is {it|this} {jazz, rock or something else|a waltz or a ballad|dance music or rock}?", "{Which|What} {musical style|musical genre|type of song} is {it|this}?", "What {genre|style} {would|does} {this be|it belong to|this count as}?", "Kind of music?", "How would you call this {genre|style|music}?",
        f"What {{style|genre|kind of music}} is {_IT}?", "What {style|genre} is {it|this|that}?", "Which {style|genre} {do you hear|would you say}?",
        f"How would you {{classify|label}} {_IT}?", "What {kind|sort|type} of music is {this|that|it}?", "{Name|Tell me} the {style|genre}.", "Genre?",
        f"To {{which|what}} {{style|genre}} does {_IT} belong?", "What would you call this {style|kind of music}?", "Style?",
        "Is there a name for this {style|kind of music}?", f"In {{what|which}} style is {_IT}?",
        "Under which heading would a shop file it?",
    ),
    "key": (
        "What's the key{| here| of this}?", "{Identify|Determine|Guess} the key.", "{Which|What} key {is this|is that|does it have}?", "The key{|, please}?", "In which key {do they play|was it written|is this piece}?", "What is the {home key|main key|tonality}?",
        f"{{What|Which}} key is {_IT} in?", "What is the key?", "In {which|what} key {is it|are they playing|is this}?", "{Name|Tell me} the key.", "Key?",
        "What is the {tonic|home note|key note} and mode?", "{Can|Could} you {name|tell me} the key?", "Which scale {is used|do they use}?",
        "What key {do you hear|would you say}?", "Give me the key of this {piece|song}.", "In what key should I play along?",
        "On which note does it rest, and in which mode?", "Which key signature would I write?",
    ),
}
THINGS: Mapping[str, tuple[str, ...]] = {  # what a question can be about, to stand in any frame
    "lead": ("the {lead|main|solo|melody} instrument", "the instrument {in front|of the melody|that leads|that plays the tune}", "the {leading|principal} instrument", "the soloist's instrument"),
    "accompaniment": ("the accompaniment", "the {accompanying|backing|background} instrument", "the instrument {behind the melody|in the background|that plays the chords}", "the {backing|harmony} part"),
    "tempo": ("the {tempo|speed|pace}", "the {bpm|tempo in bpm|number of beats per minute}", "the {metronome mark|metronome number}", "the speed of the {beat|pulse|music}", "how fast it {is|goes}"),
    "mode": ("whether it is {major or minor|minor or major}", "the mode, major or minor", "if it is in {major|minor} or {minor|major}", "whether {the key|the scale|it} is {major or minor|minor or major}"),
    "metre": ("the {metre|meter|time signature}", "the number of beats {in a|per} {bar|measure}", "whether it is in {3/4 or 4/4|three or four}", "how many beats {a bar has|are in a bar}"),
    "drums": ("whether {there are drums|drums are playing|it has drums|you hear drums}", "if {there is percussion|there are drums|a drummer plays}", "whether it comes with {drums|percussion}"),
    "style": ("the {style|genre}", "the {kind|type|sort} of music", "the {musical style|musical genre|style of music}", "what {style|genre} it is"),
    "key": ("the key", "the {home key|tonality|key of the piece|musical key}", "what key it is in", "the {tonic|home note} and mode"),
}
FRAMES = (
    "Tell me {thing}.", "{Can|Could} you tell me {thing}?", "I {want|would like} to know {thing}.", "Do you know {thing}?", "Please {tell me|say|find out} {thing}.", "{Say|Determine|Find} {thing}.",
    "Any idea about {thing}?", "What about {thing}?", "I am {asking|curious} about {thing}.", "{thing}, please.", "{thing}?", "{Can|Could} you {work out|hear|identify|figure out} {thing}?",
    "My question is about {thing}.", "Let me know {thing}.", "{Listen|Listen closely} and {say|tell me} {thing}.", "Do you hear {thing}?", "What can you say about {thing}?", "I need {thing}.",
    "{Give me|Show me} {thing}.", "{Write|Note} down {thing}.", "From {this|the} {recording|audio|clip}, {tell me|determine} {thing}.", "{Would you mind telling me|I forgot} {thing}?",
    "Help me with {thing}.", "{Check|Inspect} {thing}.", "I wonder about {thing}.", "Explain {thing} to me.",
)


def question(rng: np.random.Generator, name: str, held_out: bool = False) -> str:
    """A question about one attribute, from its own list or from a frame that fits all."""
    if rng.random() < 0.5:
        return pick(rng, QUESTIONS[name], held_out)
    thing = say(rng, THINGS[name])
    if thing.startswith("the ") and rng.random() < 0.25 and not held_out:
        return f"What is {thing}{['', ' here', ' of this'][int(rng.integers(3))]}?"
    text = pick(rng, FRAMES, held_out).replace("{thing}", thing)
    return text[0].upper() + text[1:]


DESCRIBE = (
    f"Describe {_IT}.", "{Describe|Explain|Tell me} what you hear.", f"Tell me {{about|something about|more about}} {_IT}.", "What {do|can} you hear?",
    f"What is {_IT} like?", f"What can you {{say|tell me}} about {_IT}?", "{Write|Give me} a {caption|description}{| of this| for it}.", "Listen and describe{| it}.",
    f"{{Please describe|Can you describe|Could you describe}} {_IT}{{|?|, please}}", "What is {playing|going on} {here|in this recording}?", "Summarise the music.",
    f"How does {_IT} sound?", "Caption this.", "{Put|Say} it in {words|a sentence}.", "Describe the {sound|audio|recording|clip}.",
)
INSTRUMENTS = ("Which instruments do you hear", "What instruments {are there|are playing|can be heard}", "{Name|List} the instruments", "Who is playing",
               "Which instruments {take part|play here}", "What is it played on", "What {are|would be} the instruments")
FEELING = (f"{{How does|What does}} {_IT} feel{{| like}}?", f"What {{mood|feeling|atmosphere}} {{is|has}} {_IT}?", f"Is {_IT} {{happy or sad|sad or happy}}?",
           "{What is the|Name the} {mood|feeling|atmosphere}.", f"{{What emotion|Which feeling}} {{does|would}} {_IT} {{express|convey}}?", "Mood?",
           "How would you {feel|describe the mood}?")
NO_AUDIO = ("I hear no recording. {Give me one|Please attach one|Add an audio file} and I will {listen|tell you}.",)
NO_IMAGE = ("I see no {picture|picture here}. {Please attach one|Give me one} and I will {look|make music for it}.",)
NO_VIDEO = ("I see no clip. {Please attach one|Give me one} and I will {watch|make music for it}.",)

_MAKE = "{Write|Compose|Make|Create|Play|Give me|Produce|Generate}"
ASK = (
    f"{_MAKE} {{wish}}{{|.|, please.| for me.}}", "{wish}", "I {want|need|would like} {wish}{|.|, please.}", "{Can|Could|Would} you {play|write|make|compose} {wish}?",
    "Please {play|write|make|compose|generate} {wish}.", "{Let me hear|Let us hear|I'd love to hear|Surprise me with|How about} {wish}.", "{Music|New music}: {wish}.",
    "{Do you have|Have you got} {wish}{| for me}?", "I am looking for {wish}.", "Today I {fancy|feel like hearing} {wish}.", "Could I {get|have} {wish}?",
    "My {film|game|video|podcast} needs {wish}.", "Your task: {wish}.",
)
WHOM = (" for my {daughter|son|mother|father|baby|friend|cat|dog|boss|wife|husband|grandmother|class|team}", " for {us|the children|two people|everybody|a friend}", " that {I|we} can {dance to|dream to|work to|listen to|sing along to}",
        " that {makes me smile|touches the heart|fills the room}", " {now|right now|today|tonight}", " {as a present|to remember|from far away}")
LIKE_COMPOSER = ("{Something|A piece|Music|A tune} {like|in the style of|by} {composer}{|, please}.", "{Play|Write|Compose|Make} {something|a piece|music} {like|in the style of} {composer}.",
                 "I {want|need|would like} {something|music} like {composer}{|.}", "{composer}{|!|, please.}", "What would {composer} write?", "{Can|Could} you {play|imitate} {composer}?",
                 "Be {composer}{| for a minute}.")
SHORT = ("{Something|Something a little} {mood}{|, please}{|.}", "{mood} music{|.|, please.}", "{style} music{|.|, please.}", "{style}{|!|, please.| please}", "{A |Some |}{lead} {solo|music|sound}{|.|, please.}",
         "{lead}{|!|, please.| please}", "{Play|Give me|I like} {style}{|.}", "{Play|Take} the {lead}{|.}", "{Make|Play} {something|it|music} {mood}{|.}", "{mood}{|!|, please.}", "{mood} {lead}{| music}{|.}",
         "{mood} {style}{|.| please}", "{Anything|Music} with {the|a} {lead}{|.}", "Be {mood}.")
OCCASION = (
    f"{_MAKE} {{music|a piece|a song|something|a tune}} for {{occasion}}{{|.}}", "{Music|Something|A song|A tune} for {occasion}{|, please}.",
    "I need {music|a soundtrack|something} for {occasion}.", "What would {occasion} sound like?", "{Can|Could} you {write|play|make} {music|something} {for|that fits} {occasion}?",
    "{Compose|Write} {the soundtrack of|music about} {occasion}.", "Let it sound like {occasion}.", "{Something|Music} that {fits|suits|goes with} {occasion}.",
    "What do you play for {occasion}?", "{Imagine|Think of} {occasion} and play.", "I am thinking of {occasion}: play {something|music} for that.",
    "The theme is {occasion}.",
)
_IMAGE = "{the|this|my} {picture|image|photo|photograph|painting|drawing|view|scene}"
_VIDEO = "{the|this|my} {clip|video|film|movie|footage|animation}"
_SOUND = "{music|a piece|a soundtrack|a tune|something|a song|a melody|sound|a score}"
PICTURE = (
    f"{_MAKE} {_SOUND} {{for|from|about|out of|to go with|that matches|inspired by}} {_IMAGE}{{|.}}", f"{{I want|I need|I would like|Can I have|Could I get}} {_SOUND} {{for|to|with|that fits|based on}} {_IMAGE}{{|.|?}}",
    f"{{What|Which}} {{music|sound|melody}} {{fits|suits|goes with|would you play for|do you hear in}} {_IMAGE}?", f"{{Turn|Translate|Transform|Convert|Put}} {_IMAGE} {{into}} {{music|sound|a melody|a song}}.".replace("{into}", "into"),
    f"{{Accompany|Illustrate|Score|Play}} {_IMAGE}{{| with music}}.", f"{_IMAGE}: {{play|compose|make music|music, please}}.", f"{{Listen to|Look at}} {_IMAGE} and {{play|compose|make}} {_SOUND}.",
    f"{_MAKE} {{music|a piece|a soundtrack|a tune|something}} for {{this|the}} {{picture|image|photo|scene}}{{|.}}", "What {does|would} this {picture|image|photo|scene} sound like?",
    "{Turn|Make} this {picture|image|photo} into music.", "{Music|A soundtrack|Something} {that fits|that suits|to go with|for} {this|the} {picture|image|photo}{|, please}.",
    "{Look|Look at this} and {play|compose}{| something}.", "{Can|Could} you {set this picture to music|compose for this image|write music for the photo}?",
    "Play what you see.", "Give this {photo|picture|image} a {sound|soundtrack|melody}.", "{Compose|Write} something {inspired by|that matches|about} {the|this} {picture|image|scene}.",
    "I took this {photo|picture}: {compose|play} music for it.", "Make music from {this|the} {image|picture}.", "Which music belongs to this {picture|image}? Play it.", "If this {picture|photo} could sing, what would we hear?",
)
CLIP = (
    f"{_MAKE} {_SOUND} {{for|from|about|out of|to go with|that matches|inspired by}} {_VIDEO}{{|.}}", f"{{I want|I need|I would like|Can I have|Could I get}} {_SOUND} {{for|to|with|that fits|based on}} {_VIDEO}{{|.|?}}",
    f"{{What|Which}} {{music|sound|melody}} {{fits|suits|goes with|would you play for}} {_VIDEO}?", f"{{Translate|Transform|Convert|Put}} {_VIDEO} into {{music|sound|a melody|a song}}.",
    f"{{Accompany|Illustrate|Score|Underscore|Play along with}} {_VIDEO}{{| with music}}.", f"{_VIDEO}: {{play|compose|make music|music, please}}.", f"{{Look at}} {_VIDEO} and {{play|compose|make}} {_SOUND}.".replace("{Look at}", "Look at"),
    f"{{Add|Put}} {_SOUND} to {_VIDEO}.",
    f"{_MAKE} {{music|a soundtrack|a piece|something}} for {{this|the}} {{clip|video|film|footage}}{{|.}}", "What {does|would} this {clip|video|film} sound like?",
    "{Score|Add music to|Set to music} {this|the} {clip|video|film}.", "{Music|A soundtrack|Something} {that fits|that suits|to go with|for} {this|the} {clip|video}{|, please}.",
    "{Watch|Watch this} and {play|compose}{| something}.", "{Can|Could} you {set this clip to music|compose for this video|write music for the film}?",
    "My video needs {music|a soundtrack}.", "Give this {clip|video} a {sound|soundtrack|melody}.", "{Compose|Write} something {that matches|that moves with|for} the {motion|movement|clip|video}.",
    "Background music for the {clip|video|film}, please.", "Turn this {video|clip} into {music|sound}.", "The video is silent, {add|give it} music.", "What should we hear while {this|the clip} runs?",
)
LOOK = (f"{{What is|What do you see|What is shown}} {{in|on}} {_IMAGE}?", f"{{Describe|Explain|Interpret}} {_IMAGE}.", f"{{What mood|Which mood|What feeling|Which feeling}} {{has|is in|does it have,|comes from}} {_IMAGE}?", f"{{How does|What does}} {_IMAGE} {{feel|feel like}}?", f"{{Tell me|Say something}} about {_IMAGE}.",
        "What mood {has|is} {this|the} {picture|image|photo}{| in}?", "{Describe|What is in} the {picture|image|photo}.", "What {do|can} you see?", "How does this {picture|image|photo} feel?",
        "{Is this|Is it} a {happy|sad|calm|tense} {picture|image}?", "What atmosphere {has|does} this {photo have|image have|scene have}?", "Look at {this|the image}: what do you see?")
WATCH = (f"{{What happens|What do you see|What is going on}} in {_VIDEO}?", f"{{Describe|Explain|Interpret}} {_VIDEO}.", f"{{What mood|Which mood|What feeling}} {{has|is in|comes from}} {_VIDEO}?", f"{{How does|What does}} {_VIDEO} {{feel|feel like|move}}?", f"{{Tell me|Say something}} about {_VIDEO}.", f"{{How fast|How quick|How lively}} is {_VIDEO}?",
         "How {fast|quickly} does {it|everything|this clip} move?", "{Describe|What happens in} the {clip|video}.", "What {do you see in|is the mood of} {this|the} {clip|video}?",
         "Is the {video|clip} fast or slow?", "How does this {clip|video} feel?", "What is the {motion|movement} like{| in the video}?", "Is it a {quick|calm|slow} {video|clip}?")
LIKE = ("{Play|Make|Write|Compose} {something|a piece|music} like {this|it|that}.", "{Continue|Go on} {like this|in this style}.", "{Something|A piece|Another} similar, please.",
        "Play along{| with it}.", "More of {this|the same}.", "{Imitate|Copy|Recreate} {this|it}.", "Now you{| play that}.", "Make me another one {like that|of those}.")
EDITS: Mapping[str, tuple[str, ...]] = {
    "faster": ("{Make|Play} {it|this} faster.", "Faster{|, please| please}!", "{Speed|Hurry} it up.", "A {quicker|faster} {version|tempo}{|, please}.", "Increase the {tempo|speed}.",
               "{Can|Could} you play {it|this} {faster|quicker}?", "Raise the {tempo|bpm}."),
    "slower": ("{Make|Play} {it|this} slower.", "Slower{|, please| please}!", "Slow {it|this} down.", "A {slower|calmer} {version|tempo}{|, please}.", "{Reduce|Lower} the {tempo|speed}.",
               "{Can|Could} you play {it|this} {slower|more slowly}?", "Bring down the {tempo|bpm}."),
    "tempo": ("{Make|Play} {it|this} at {value} {bpm|beats per minute}.", "{Set|Change} the tempo to {value}{| bpm}.", "The same at {value} bpm.", "{Can|Could} you play it at {value} bpm?",
              "{value} bpm instead.", "Tempo {value}, please."),
    "mode": ("{Make|Play} {it|this} in {value}.", "{Change {it|this} to|Turn {it|this} into} {value}.", "In {value}{|, please| instead}.", "{Can|Could} you play it in {value}?", "The same in {value}.",
             "A {value} version{|, please}.", "I would prefer {value}."),
    "lead": ("{Replace|Change} the {old} {by|to|with} {a|the} {value}.", "With {value}{| instead}.", "{Use|Take} {a|the} {value} {for the melody|instead|as lead}.",
             "{Let|Have} {the|a} {value} play the {tune|melody}.", "Play {it|this} on {the|a} {value}.", "The {melody|tune} on {the|a} {value}{|, please}.", "I want {a|the} {value} instead of the {old}."),
    "accompaniment": ("{Accompany|Back} it {with|by} {value}.", "{Use|Take} {value} {for|as} the {accompaniment|chords}.", "{value} in the background{|, please}.", "Let {value} accompany.",
                      "{Change|Replace} the accompaniment {to|with} {value}.", "{value}{| for the chords} instead."),
    "add": ("Add {drums|a drum beat|percussion|a drum kit}.", "With drums{|, please}.", "Put {drums|a beat} under it.", "{Can|Could} you add {drums|percussion}?", "I {miss|want} {drums|a beat}.", "Bring in {the drums|a drummer}."),
    "remove": ("Remove the {drums|percussion}.", "{No|Without} drums{|, please}.", "Take {out|away} the {drums|percussion}.", "{Can|Could} you drop the drums?", "{Leave out|Mute} the {drums|percussion}.", "Get rid of the {drums|beat}."),
    "style": ("{Make {it|this}|Turn {it|this} into} {value}.", "As {value}{|, please}.", "{Play|Rework|Arrange} {it|this} as {value}.", "{Can|Could} you make it {value}?", "{Change|Convert} it to {value}.", "I want it to be {value}."),
    "metre": ("{Make|Play} {it|this} in {value}.", "{Change {it|this} to|Put {it|this} in} {value}{| time}.", "In {value}{|, please| time}.", "The same in {value}.", "{Can|Could} you play it in {value}?", "Count it in {value}."),
}

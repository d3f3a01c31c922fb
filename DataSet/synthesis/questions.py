"""Wording of questions about a recording: direct questions, and noun phrases and clauses that fit any frame.

Every attribute has its own list of questions (QUESTIONS) and of names and clauses (THINGS); FRAMES take any of them. One
question may ask for several, for a yes or a no, or for a comparison. The last sixth of every list of frames is for testing
alone (wording.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from DataSet.synthesis.wording import chance, choose, pick, say

_IT = "{the music|this music|this piece|the piece|this recording|this song|the song|this track|it|it|it|this|that|the tune|this clip|the sample|this file|the excerpt|the audio|my recording|the mp3}"
_HERE = "{||| here| in this| in it| there| in the recording| of this| on this track}"
_KNOW = "{tell|say|hear|work out|figure out|make out|guess|recognise|recognize}"
_CAN = "{Can|Could|Would} you"

QUESTIONS: Mapping[str, tuple[str, ...]] = {
    "lead": (
        f"{{What|Which}} instrument{{ is it| is this| is that|}}{_HERE}?", f"{{What's|What is|whats}} {{that|the|this}} {{instrument|solo instrument|sound|lead}}{_HERE}?", f"{{Who|What}} {{is|'s}} {{playing|carrying|singing}} the {{tune|melody|main line|top line|theme}}{_HERE}?",
        f"{_CAN} {_KNOW} {{what|which}} instrument {{it|this|that}} is?", "Instrument?", "{What|Which} {am I|are we} {listening|hearing} {to|}, a {piano|guitar|violin|flute|sax} or {a trumpet|a cello|something else}?", "{Lead|Solo|Melody|Main} {instrument|part|voice}?",
        "{Is that a|Is it a|Could it be a} {sax|violin|flute|guitar|piano|cello}, or {what is it|what|something else}?", "{What|Which} instrument {does the solo|gets the solo|is doing the melody|is the star|is most prominent|dominates|is featured}?",
        f"{{What|Which}} {{one|thing|instrument}} {{is playing|plays}} {{the notes on top|the high part|the main part|first|the leading part|the lead line}}{_HERE}?", "{What|Which} {wind|string|brass|keyboard|solo|melodic} instrument {is this|is it|do I hear|plays the tune}?", f"{{What|Which}} instrument is {_IT} {{for|written for|played on|mainly for}}?",
        "{Who|Which player} {takes|gets|has} the {lead|solo|main part|first voice}?", f"The {{melody|tune|solo|lead}}{_HERE}, {{who plays it|what plays it|what is it played on|which instrument}}?", "{Name|Identify|Spot|Tell me} the {soloist|solo|melody instrument|instrument that leads|lead voice}.",
        "What is playing the {tune|melody|lead|solo}{| here| in this}?", "{Which|What} instrument {sings|stands out|is the loudest|takes the lead}{| here}?", "The {tune|solo} is on {what|which instrument}?", "What {sort|kind} of instrument {plays|has} the {tune|melody}?", "Identify the {lead|main|solo} instrument.", "Is the {melody|lead} {a piano, a violin or something else|on strings or on winds}?", "{Who|What} is the soloist?", "Main instrument?",
        f"{{What|Which}} instrument plays the {{melody|tune|lead}}{{| here| in {_IT}}}?", "What plays the {melody|tune}?",
        f"{{Which|What}} is the {{lead|main|solo}} instrument{{| of {_IT}| here}}?", "Who has the {tune|melody|lead}?",
        "{Name|Tell me} the {lead|main} instrument.", f"{{What|Which}} instrument {{do I hear|am I hearing|do you hear}} {{most|in front|on top}}{{| in {_IT}}}?",
        "What carries the {melody|tune}?", "{Can|Could} you {tell|say} which instrument {has|plays|carries} the {melody|tune}?",
        "The {melody|lead}: which instrument is it?", "Which instrument would the poster name as soloist?", "Whose turn is it to shine, by instrument?",
        "And the star of the show, by instrument?", "On {which|what} instrument is the {melody|tune} played?", "Do you know what instrument plays the {solo|melody}?",
        "Which voice is on top, by instrument?",
    ),
    "accompaniment": (
        f"{{What|Which}} instrument {{does|provides|gives|delivers|handles}} the {{harmony|chords|backing|accompaniment|background}}{_HERE}?", f"{{What|Who}} {{is|'s}} {{accompanying|backing|supporting}} the {{melody|tune|lead|solo|soloist}}{_HERE}?", "{Backing|Accompaniment|Background|Chords|Harmony}{ instrument|}?",
        "{What|Which} instrument {plays along|is in the back|sits underneath|holds the chords|plays underneath|is second}?", f"{_CAN} {_KNOW} what {{plays|does}} the {{chords|accompaniment|backing|harmony}}?", f"What {{is|'s}} {{behind|under|beneath|underneath}} {{it|the tune|the lead|the solo|the main instrument}}{_HERE}?",
        "What are the {chords|harmonies} played {on|with|by}?", "{What|Which} instrument {other than the lead|besides the soloist|apart from the melody} {do you hear|is there|is playing}?", "{Who|What} {strums|plays|holds|provides} the {chords|harmony|backing}?", "What {kind|sort} of {backing|accompaniment} {is there|does it have|do you hear}?",
        "Is the {backing|accompaniment|background} {a piano, a guitar or strings|strings or a pad|an organ or a guitar|piano or organ}?", "{The|And the} {backing|accompaniment|accompanying instrument|chords}, {what|which} {is it|instrument is that}?",
        "{Which|What} instrument is {behind|under|below} the {melody|solo|lead}?", "What is the {backing|background|harmony|chord} instrument?", "And the {chords|accompaniment|background}?", "Identify the {accompaniment|backing}.", "What {fills|makes} the background{| here}?", "What {plays|does} the {harmony|backing|chords}?", "Which instrument {supports|accompanies} the {soloist|singer|tune}?",
        "What {accompanies|supports|backs} the {melody|lead|tune}?", "{Which|What} instrument {accompanies|plays the chords|is in the background}?",
        f"What is the accompaniment{{| of {_IT}| here}}?", "What plays {the chords|behind the melody|in the background}?",
        "{Name|Tell me} the {accompaniment|accompanying instrument}.", "What {do you hear|is} behind the {melody|lead}?",
        "Who plays the {chords|harmony}?", "{Which|What} instrument is {used for|playing} the {chords|accompaniment}?",
        "What {floor|cushion} does the {melody|tune} rest on?", "The supporting cast: which instrument?", "What {sounds|can be heard} besides the {melody|lead}?",
        "On {which|what} instrument are the chords played?",
        "What supports the soloist in the back?",
    ),
    "tempo": (
        "{What's|What is|whats} {its|the} {bpm|tempo|speed|pace|beats per minute|metronome marking}?", f"How {{fast|quick|speedy|rapid}} {{is {_IT}|does {_IT} go|does {_IT} move|is the beat going|is the pulse}}?",
        "How slow is {it|this|that|the music}?", f"{{At|With}} {{what|which}} {{bpm|tempo|speed|pace|metronome setting}} {{is|was}} {_IT} {{played|recorded|performed|going}}?", "{Bpm|BPM|Tempo|Speed|Pace}{| please|, please| of this|??}?", f"{_CAN} {{clock|measure|count|estimate|tap|tap out|figure out|time}} the {{beat|bpm|tempo|speed|pulse}}{{| for me}}?",
        "{What|Which} {number|value|bpm} {should I|do I|would you} {set|put} {the metronome|my metronome|the click|my drum machine} {to|at}?", f"{{Roughly|About|Approximately|Exactly}} {{what|which}} {{bpm|tempo}} {{is {_IT}|does {_IT} have}}?", "How many {beats|clicks|ticks|pulses} {per|a|in a|in one} minute{| are there| do you count| roughly}?",
        "{Is it|Is this|Would you say it is} {fast|slow|quick} or {slow|fast|moderate}, in bpm?", "{Tempo|BPM|Speed} {estimate|reading|check|value|in numbers}{|, please|?}", "{Find|Get|Detect|Compute|Determine|Work out|Report} {me |}{the|its} {bpm|tempo|speed}{| of this| for my mix| for the playlist}.", "I {need|want|am after} the {bpm|tempo|exact tempo|speed}{| of this| of it|, please}.",
        "What does the metronome {say|show|read} {here|for this}?",
        "What's the {tempo|bpm|speed}{| here| of this}?", "How {fast|quick} is {this|that}{| in bpm|, in beats per minute}?", "{Measure|Count|Guess} the {tempo|beats per minute|bpm}.", "Is it {fast|slow}, and how much?", "Give {me |}the tempo{| as a number| in bpm}.", "How many bpm{| is it| is this| does this have}?", "{What|Which} tempo is {it|this|that}?", "Beats per minute?",
        f"How fast is {_IT}?", f"What is the tempo{{| of {_IT}| here}}?", "{What is the|Give me the|Tell me the} {bpm|tempo in bpm|speed}{|, please}.",
        "How many beats {per|a} minute{| does it have| is it| is that}?", "{Can|Could} you {tell|say|estimate} {how fast it is|the tempo|the bpm}?",
        f"At {{what|which}} {{tempo|speed}} is {_IT} played?", "How fast {does it go|is the beat|are they playing}?", "Tempo?", "BPM?",
        "What {bpm|speed} {is this|would you say}?", "Estimate the {tempo|speed|bpm}.", f"What tempo does {_IT} have?",
        "At what rate does the foot tap?", "If I set a metronome, what number {do I|should I} choose?",
        "Which metronome mark would fit?",
    ),
    "mode": (
        "{Major|minor} {or|/} {minor|major}{|?| key?| scale?| tonality?}", f"Is {_IT} {{in|written in|set in|played in}} a {{major or a minor|minor or a major}} {{key|scale|mode}}?", "{Is it|Is this|Would you call it} {a |}{major-key|minor-key} or {a |}{minor-key|major-key} {piece|song|tune|one}?",
        "{What|Which} mode{| is it| is this| are we in| is used}?", f"{_CAN} {_KNOW} {{if|whether}} {_IT} is {{in |}}{{major or minor|minor or major}}?", f"Does {_IT} {{use|have|follow}} {{a |the |}}{{major or minor|minor or major}} {{scale|key|tonality|mode}}?", "{Tonality|Mode}: {major or minor|minor or major}?", "Is the {third|scale|harmony|home chord|tonic chord} {major or minor|minor or major}?",
        "{Are they|Are the chords|Is the harmony} {mostly |}in {major or minor|minor or major}?", "{Major|Minor}, {yes|is it} or {minor|major}?", "{Tell me|Decide|Choose}: {major or minor|minor or major}{.|?}", f"{{I can't tell|I am not sure}} {{if|whether}} {_IT} is {{major or minor|minor or major}}{{, can you|. Can you|, what do you say|}}?",
        "Is {the song|this song|it} {major|minor}?", "{Is this|Are we} in a major or {in |}a minor key?", "Which is it, {major or minor|minor or major}?", "{Identify|Name|Determine} the mode{|: major or minor}.", "{Does it sound|Do you hear} {major|minor} or {minor|major}?", "Would you say {it is |}{major or minor|minor or major}?",
        f"Is {_IT} in major or minor?", "Major or minor?", "Is {it|this} in a {major|minor} key or a {minor|major} {key|one}?",
        f"What {{mode|tonality}} is {_IT} in?", "Is the {mode|key|tonality} major or minor?", f"Does {_IT} sound major or minor?",
        "{Can|Could} you {tell|say} {if|whether} {it is|this is} {major or minor|minor or major}?", "Minor or major?",
        f"Would you call {_IT} major or minor?", "Which label do I {print|write}: {major|minor} or {minor|major}?",
        "Is that a major or a minor {scale|key|mode}?", "The mode, is it major or minor?",
        "Does the scale have a major or a minor third?",
    ),
    "metre": (
        f"{{What's|What is|whats}} the {{time|time sig|time signature|metre|meter|count}}{_HERE}?", f"Is {_IT} in {{three or four|3 or 4|three-four or four-four|3/4 or 4/4|waltz time or common time|triple or quadruple time}}?", "How many beats {does each bar have|does a measure hold|does every bar have|are in each measure|are there per bar|are there in one bar}?",
        "In how many {beats|counts} {do I|should I|can I|would you} {count|clap|conduct|tap} {it|this}?", "{Time sig|Time signature|Meter|Metre|Beats per bar|Count}{|, please| please|??}?", f"{_CAN} {_KNOW} the {{time signature|metre|meter|beats per bar}}?", "{Do I|Should I|Does one} count {one two three or one two three four|to three or to four|123 or 1234}?",
        f"Is {_IT} {{in waltz time|in common time|in three-four|in four-four}}, or what?", "{What|Which} {metre|meter|time|time signature} {are they playing in|did they use|would you write|stands at the beginning}?", "{Groups|Bars} of {three or four|3 or 4}?", "How is {it|this|the beat} {counted|grouped|divided|barred}?",
        f"{{I want to|Help me}} {{conduct|count|clap along to}} {_IT}: {{three or four|how many beats|which metre}}?",
        "What's the {time signature|metre|meter}{| here| of this}?", "{Is this|Is that} {in three or in four|in triple or duple time|a three or a four}?", "{Count|Tell me} the beats {per|in a|of a} bar.", "{Is the time signature|Is the metre} {3/4 or 4/4|4/4 or 3/4}?", "Time signature?", "How many beats per {bar|measure}?", "{Identify|Determine} the {metre|time signature}.",
        f"What {{metre|time signature|meter}} {{is {_IT} in|does {_IT} have|is it}}?", "How many beats are {there in|in} a bar?", "3/4 or 4/4?",
        "Is {it|this|the piece} in 3/4 or {in |}4/4?", "What is the {time signature|metre|meter}?", "{In which|Which} {metre|time signature} is {it|this}?",
        "Does it count in three or in four?", "How do I count {this|it}{|, in three or four}?", "{One, two, three|One, two, three, four}: which count is right?",
        "Into how many does the bar divide?", "Three or four beats {a|to the} bar?", f"How many beats does a bar of {_IT} have?",
        "Could I dance a waltz to it, in three?",
    ),
    "drums": (
        f"{{Any|Are there any|Do you hear any|Can you hear any|Is there any}} {{drums|percussion|drumming|drum kit|drum beat|beats}}{_HERE}?", f"Does {_IT} {{feature|include|come with|contain|use|have}} {{a drummer|drums|any drums|a drum kit|a drum set|percussion|a beat|drum sounds}}?", "{Drums|Drums or not|Drums, yes or no|Percussion or none}?", f"Is {_IT} {{drumless|without drums|unplugged of drums|free of percussion|beatless|with drums|percussive}}?",
        "{Is|Was} there a {drummer|drum kit|drum machine|drum track|drum part|rhythm section with drums|backbeat}{| playing| in it| on this}?", f"{_CAN} {_KNOW} {{if|whether}} {{there are drums|there's percussion|drums are used|it has a drum beat|a drummer is playing}}?", "{Kick|Snare|Hi-hat|Cymbals|Bass drum}, {anything like that|any of these|is any of it there}{| in it}?",
        "{Do|Did} {they|the musicians|we} {have|use} {drums|a drummer|percussion}{|, or not|, or none}?", "{Is percussion|Are drums|Are drums and cymbals} {part of it|involved|audible|to be heard|in the mix}?", "Does {anybody|somebody|someone|anyone} {hit|play|bang} {the drums|drums|a drum}{| in it| here}?", "{No drums|There are no drums}{, right| in it|, are there}?", "{It has|There are} drums, {right|doesn't it|isn't it so}?",
        "{Is there|Do I hear|Can I hear} {a drummer|drumming|a beat|any drumming|percussion}{| in it| in this| here}?", "{Are drums|Is percussion|Is a drum kit} {playing|used|present|in there}?", "{Does it|Does this} {use|contain|include} {drums|percussion}?", "Percussion?", "{Has it|Does it have} {a drum kit|a beat}?", "Does a drummer {take part|play|join}?",
        f"Are there drums{{| in {_IT}}}?", "{Do you|Can you} hear {drums|a drum kit|percussion}?", f"Does {_IT} have {{drums|percussion|a drum beat}}?",
        "Is there {any|some|a} {percussion|drum beat}?", "Is {somebody|anybody|someone} {drumming|playing drums|playing the drums}?", "Drums?",
        "With or without drums?", f"Has {_IT} got {{drums|a beat|percussion}}?", "Is a drummer playing?", "{Heard|Noticed} a drummer{|, have you}?",
        "Would {they|the band} need a drum stool{| for this}?", "{Sticks and skins|Skins and cymbals}: heard or not?",
        "Is anything being hit with sticks?",
    ),
    "style": (
        f"{{What's|What is|whats}} {{its|the}} {{genre|style|category|type of music}}{_HERE}?", f"{{What|Which}} {{kind|type|sort|style|genre}} of {{song|piece|tune|track|music}} is {_IT}?", "{Genre|Style|Category|Type of music|Kind of song}{|, please| please|??}?", f"{_CAN} {_KNOW} {{what|which}} {{genre|style|kind of music}} {{it|this}} is?", f"{{Where|In which category|Under which genre|On which shelf}} {{would you|do I|should I}} {{file|put|sort|place}} {_IT}?",
        "Is {it|this|that} {rock, jazz, dance or what|a ballad, a waltz, swing|more rock or more jazz|ambient or dance|pop, rock or jazz}{|, or something else}?", f"How would {{you|one|people}} {{categorise|categorize|classify|tag|describe the style of|label}} {_IT}?", "{What|Which} {genre|style} {tag|label} {fits|should I use|would you give it|suits this}?", f"{{I want to|Help me}} {{tag|label|sort}} {_IT}: {{which genre|what style|genre}}?", "{What|Which} {tradition|scene|genre|style} does {it|this} come from?",
        "{What|Which} {playlist|station|section} {would|should} {it|this} {go in|go into|be in|belong to}, by {genre|style}?",
        "What's the {style|genre}{| here| of this}?", "{Identify|Determine|Guess} the {style|genre}.", "Is {it|this} {jazz, rock or something else|a waltz or a ballad|dance music or rock}?", "{Which|What} {musical style|musical genre|type of song} is {it|this}?", "What {genre|style} {would|does} {this be|it belong to|this count as}?", "Kind of music?", "How would you call this {genre|style|music}?",
        f"What {{style|genre|kind of music}} is {_IT}?", "What {style|genre} is {it|this|that}?", "Which {style|genre} {do you hear|would you say}?",
        f"How would you {{classify|label}} {_IT}?", "What {kind|sort|type} of music is {this|that|it}?", "{Name|Tell me} the {style|genre}.", "Genre?",
        f"To {{which|what}} {{style|genre}} does {_IT} belong?", "What would you call this {style|kind of music}?", "Its musical family?",
        "Is there a name for this {style|kind of music}?", f"In {{what|which}} style is {_IT}?",
        "Under which heading would a shop file it?",
    ),
    "key": (
        f"{{What's|What is|whats}} {{its|the}} {{key|home key|tonic|musical key|key signature}}{_HERE}?", f"{{What|Which}} key {{is|was}} {_IT} {{in|written in|played in|recorded in}}?", "{Key|The key|Key signature|Tonality|Musical key}{|, please| please|??}?", f"{_CAN} {_KNOW} {{the key|its key|what key it is in|which key this is}}?", "In {what|which} key {are the musicians|is this thing|is the song written|should I solo|do I sing}?",
        "{What|Which} {note|pitch} is {home|the tonic|the root|the key note}{|, and is it major or minor}?", "{I want to|Help me} {play along|jam along|harmonise|transpose it|sing it}: {what key|which key|key}?", "{Find|Detect|Get|Work out|Report} {me |}{the|its} {key|tonality|home key|key and mode}.", "{What|Which} {scale|key} {should|do|can} I {use|play} {over|for|with} {it|this}?", "{How many sharps or flats, so|Sharps or flats,} {which key|what key is it}?", "Where is {home|the tonic|do}, {which key|what key}?",
        "What's the key{| here| of this}?", "{Identify|Determine|Guess} the key.", "{Which|What} key {is this|is that|does it have}?", "The key{|, please}?", "In which key {do they play|was it written|is this piece}?", "What is the {home key|main key|tonality}?",
        f"{{What|Which}} key is {_IT} in?", "What is the key?", "In {which|what} key {is it|are they playing|is this}?", "{Name|Tell me} the key.", "Key?",
        "What is the {tonic|home note|key note} and mode?", "{Can|Could} you {name|tell me} the key?", "Which scale {is used|do they use}?",
        "What key {do you hear|would you say}?", "Give me the key of this {piece|song}.", "In what key should I play along?",
        "On which note does it rest, and in which mode?", "Which key signature would I write?",
    ),
}
THINGS: Mapping[str, tuple[str, ...]] = {  # what a question can be about: names, and clauses
    "lead": ("the {lead|main|solo|melody|leading|featured} {instrument|part|voice}", "the instrument {in front|of the melody|that leads|that plays the tune|on top|doing the solo|you hear most|with the tune}", "the {leading|principal|dominant} instrument", "the soloist's instrument", "{what|which} instrument {plays the melody|leads|has the tune|takes the solo|it is|is in front|this is}", "{who|what} {plays|carries|has} the {melody|tune|lead}", "what the {melody|tune|solo} is played on"),
    "accompaniment": ("the {accompaniment|backing|chords' instrument}", "the {accompanying|backing|background|supporting|second} instrument", "the instrument {behind the melody|in the background|that plays the chords|under the lead|that accompanies}", "the {backing|harmony|chord} part", "{what|which} instrument {plays the chords|accompanies|is in the background|supports the melody|does the backing}", "what {is behind|backs|supports|accompanies} the {melody|tune|lead|solo}"),
    "tempo": ("the {tempo|speed|pace|rate}", "the {bpm|tempo in bpm|number of beats per minute|beats per minute|bpm count|BPM value}", "the {metronome mark|metronome number|metronome setting|metronome marking}", "the speed of the {beat|pulse|music|song}", "how {fast|quick|quickly} it {is|goes|moves|runs|is played}", "how many beats {per|a|there are in a} minute{| it has| there are|}", "{what|which} {tempo|bpm|speed} it {is|has|runs at|is at|is in}", "how {slow|fast} or {fast|slow} it is"),
    "mode": ("whether it is {major or minor|minor or major}", "the mode, {major or minor|minor or major}", "if it is in {major|minor} or {minor|major}", "whether {the key|the scale|it|the song|the tonality} is {major or minor|minor or major}", "the mode", "if {it's|its|this is|that is} {major or minor|minor or major}", "major or minor", "whether it {sounds|is written|is} in {a major or minor key|a minor or major key}"),
    "metre": ("the {metre|meter|time signature|time sig|beat count}", "the number of beats {in a|per|in each|in every} {bar|measure}", "whether it is in {3/4 or 4/4|three or four|4/4 or 3/4|four or three|three-four or four-four|waltz time or common time}", "how many beats {a bar has|are in a bar|there are per bar|each measure has|to count in a bar}", "{what|which} {metre|meter|time signature} it {is in|has|uses}", "how to count it, in three or four", "if it {counts|goes} in {three or four|3 or 4}"),
    "drums": ("whether {there are drums|drums are playing|it has drums|you hear drums|there's a drummer|a drum kit is used}", "if {there is percussion|there are drums|a drummer plays|it has a drum beat|any drums are playing|it's got drums}", "whether it comes with {drums|percussion|a beat}", "if {drums|percussion} {can be heard|are used|are there|are part of it}", "drums or no drums", "the drums, {yes or no|if there are any|present or not}", "whether {percussion|drumming} is {used|involved|audible}"),
    "style": ("the {style|genre|category}", "the {kind|type|sort} of {music|song|piece}", "the {musical style|musical genre|style of music|genre label}", "{what|which} {style|genre|kind of music|type of music} it is", "{what|which} {genre|style} it {belongs to|falls under|fits|is in}", "its {genre|style}", "how {it's|it is} classified by {genre|style}"),
    "key": ("the key", "the {home key|tonality|key of the piece|musical key|key signature|tonic}", "{what|which} key it {is in|is|has|was written in}", "the {tonic|home note} and mode", "its key", "{what|which} key {I should play in|they are in|the song uses}", "the key it is in"),
}
FRAMES = (
    "Tell me {thing}.", "{Can|Could|Would|Will} you {|please }tell me {thing}{|, please}?", "I{'d| would|'d really|'d just} {like|love} to know {thing}.", "Do you {|happen to }know {thing}?", "Please {tell me|say|find out|identify} {thing}.", "{Say|Determine|Find|Identify|Detect|Report|State} {thing}{.|, please.| for me.|}",
    "Any {idea|clue|guess|thoughts|opinion} {about|on|what you make of} {thing}?", "What about {thing}?", "I {am|'m} {asking|curious|wondering} about {thing}.", "{thing}{, please|, pls|}.", "{thing}?", "{Can|Could} you {work out|hear|identify|figure out|find|detect|get|guess|spot|recognise} {thing}{| for me| here| from this}?",
    "My question is about {thing}.", "{Let|Please let} me know {thing}.", "{Listen|Listen closely|Have a listen|Take a listen} and {say|tell me|report|write down} {thing}.", "Do you hear {thing}?", "What can you {say|tell me} about {thing}?", "I {|really |only |just }{need|want} {|to know }{thing}.", "{Give|Show|Tell} me {thing}{|, please| now| and nothing else| in one line}.",
    "{Write|Note|Put} down {thing}.", "From {this|the} {recording|audio|clip|sound}, {tell me|determine|work out|what is} {thing}.", "{Would you mind telling me|I forgot|I don't know|I can't hear|I can't figure out|I have no idea about} {thing}{?|.}", "{I|We} {can't|cannot|could not} {agree on|hear|make out|find} {thing}{. Can you?|, can you?|.|; help}", "{Looking for|Searching for|Asking for|Curious about|Need|Wanted}: {thing}{.|?|}",
    "{For|In} {this|the} {song|track|piece|recording}, {tell me|what is|say|give me} {thing}{.|?}", "{Answer|Reply|Respond} with {thing}.", "{First|Now|Next|Then}{,|} {tell me|say|give me} {thing}.", "{Help me|Please help me} {find|with|hear|work out|understand} {thing}.", "{Check|Inspect|Analyse|Analyze|Examine} {|the music for |it and tell me |the recording and give me }{thing}.",
    "I {wonder|wonder about|keep wondering about|was wondering about|am trying to find|am trying to work out} {thing}.", "{Quick|Simple|Short|Small|Another|One more} question: {thing}?", "{My|A} {friend|teacher|band mate|daughter|son|colleague|student} {asks|wants to know|is asking about|asked me about} {thing}.", "{You|You can|I bet you can|Maybe you can} {hear|tell me|know|say} {thing}{|, right}?", "{Do|Can} you {have|give} {a guess|an idea|an estimate} {of|about|on} {thing}?",
    "What {would|do} you {say|think|guess} {is |about |}{thing}{| is}?", "{Please analyse|Analyse|Work on} this: {thing}.", "{Interested|I'm interested} in {thing}{|, nothing else| only}.",
    "Explain {thing} to me.", "{Might|May} I {ask|learn} {thing}?", "{thing}: {what do your ears say|what is your verdict}?", "{Enlighten|Inform} me {on|as to} {thing}.", "All that {matters|counts} {to me |}is {thing}.", "{thing} {remains|is still} a {mystery|riddle} to me.", "{Kindly|Swiftly} {supply|reveal} {thing}.",
)
SEVERAL = (  # frames for more than one thing, said one after the other
    "{Tell me|Give me|I need|I want|Say|Find|List|Name} {things}{.||, please.}", "{Can|Could|Would} you {tell me|give me|find|work out|name} {things}?", "{things}{?|.|, please.| pls|}", "What {are|is} {things}{|, please| here| of this}?", "I {would like|'d like|want|need} to know {things}.", "{Please|Pls} {tell me|give me|list|write down} {things}{.|}",
    "{Facts|Data|Details|Info|Analysis|Report|Fill in}: {things}.", "{Two|Some|A few} {things|questions}: {things}{?|.}", "{Listen|Analyse it|Analyse this} and {give me|tell me|report} {things}.", "{For|In} this {song|track|recording|clip}: {things}{?|.|}", "Do you know {things}?", "Help me {find|fill in|with} {things}.",
    "I must {report|enter} {things}.", "{things} {go|belong} in my table.",
)
LINKS = (" and ", ", and ", " as well as ", " plus ", " & ", ", ", " + ", " / ", "; ")
YES_NO: Mapping[str, tuple[str, ...]] = {  # {asked} is a value in words; true or not
    "lead": ("Is {that|it|there|this} {asked}{| playing| playing the melody| in front| leading| I hear| on top}?", "{Do I|Do you|Can you} hear {asked}{| playing the melody| leading| in front}?", "Is the {melody|lead|tune|solo} {played by|on|played on} {asked}?", "Does {asked} {play|lead|carry the melody|have the tune|play the tune|take the lead}?", "{It is|It's|That's|That is} {asked}, {right|isn't it|no|correct|true or false}?", "{Am I|Are we} {hearing|listening to} {asked}{|, yes or no}?", "{I think|I believe|I guess|I'd say} {it is|it's|the lead is|I hear} {asked}. {Right|Am I right|True|Correct|Is that so}?", "{Could|Might} {it|that|the lead} be {asked}?", "Is {asked} what leads?"),
    "mode": ("Is {it|this|the song|the piece|the music} {in |in a |}{asked}{| key|}?", "Is {it|this|that} {asked}{|, yes or no| or not}?", "Is the key {asked}?", "Does it sound {asked}?", "{It is|It's|That's} {in |}{asked}, {right|isn't it|no|correct}?", "Is {it|this} {written|played|set} in {asked}?", "{I think|I believe|I'd say} {it is|it's} {in |}{asked}. {Right|Am I right|True|Correct}?", "Would {asked} be {right|correct}?"),
    "style": ("Is {it|this|that} {asked}{|, yes or no| or not| or something else}?", "Would you call {it|this|that} {asked}?", "{Could|Can} {it|this} be {asked}?", "{It is|It's|That's|This is} {asked}, {right|isn't it|no|correct}?", "Does {it|this} {count|pass|qualify|go} as {asked}?", "{I think|I believe|I'd say} {it is|it's} {asked}. {Right|Am I right|True|Correct}?", "Am I {hearing|listening to} {asked}?", "{My friend says|Somebody said|They told me} {it is|it's} {asked}. {Is it|True|Right}?", "Does {asked} describe it?"),
    "metre": ("Is {it|this|the piece|the music|the song} in {asked}?", "Does {it|this} {count|go} in {asked}?", "{It is|It's|This is} in {asked}, {right|isn't it|no|correct}?", "Is the {metre|meter|time signature|time} {asked}?", "Is {asked} the {right |}{metre|meter|time signature}?", "{Can|Should} I count {it|this} in {asked}?", "{I think|I believe|I'd say} {it is|it's} in {asked}. {Right|Am I right|True|Correct}?", "Would {asked} fit the beat?"),
    "key": ("Is {it|this|the song|the music} in {asked}?", "Is the key {asked}?", "{It is|It's|This is} in {asked}, {right|isn't it|no|correct}?", "{Can|Should} I {play|solo} in {asked}{| over it| with it}?", "{I think|I believe|I'd say} {it is|it's|the key is} {in |}{asked}. {Right|Am I right|Correct}?", "Is {asked} the {right |}key?", "Would {asked} fit?"),
    "accompaniment": ("{Do I|Do you|Can one} hear {asked} in the {background|back}?", "Is the {backing|accompaniment|background} {played by|played on|done with|made of} {asked}?", "{Do|Can} you hear {asked} {behind|under} the {melody|lead|tune}?", "Is it {accompanied|backed} by {asked}?", "The {backing|accompaniment} is {asked}, {right|isn't it|correct}?", "Is there {asked} underneath?", "Does it rest on {asked}?"),
}
COMPARE = (  # {than}: faster or slower; {number}
    "Is {it|this|the song|the track|the music|the tempo} {than} {number}{| bpm| beats per minute}?", "{Does it go|Does it run|Is it going|Is it played} {than} {number}{| bpm| beats a minute}?", "Is the {tempo|bpm|speed} {than} {number}{|, yes or no}?", "{Would|Do} you {say|think} {it is|it's} {than} {number}{| bpm}?", "{It is|It's} {than} {number}{| bpm}, {right|isn't it|correct}?", "{I think|I'd say|I bet} {it is|it's} {than} {number} bpm. {Right|True|Am I right}?", "Is {it|this} {than} {number} {bpm|beats per minute}?",
    "Does it beat {than} {number}?",
)
FASTER = ("faster than", "quicker than", "over", "above", "more than", "higher than", "at least", "beyond")
SLOWER = ("slower than", "under", "below", "less than", "lower than", "at most")
PACE = ("Is {it|this|that|the music|the song} {|rather |quite |more |very |pretty }{fast|slow|quick}{|, or not| or not|, or is it medium}?", "Is {it|this|the song} {fast or slow|slow or fast|quick or slow|slow, medium or fast}?", "{Fast or slow|Slow or fast|Quick or slow}?", "Is {it|this} {an up-tempo|an uptempo|a fast|a slow|a quick|a mid-tempo} {song|track|piece|number|one}?", "{Would you|Do you} call {it|this} {fast|slow|quick|slow or fast}?", "Does {it|the music} {move|go|run} {fast|slowly|quickly}?", "Is the {tempo|pace|speed} {high|low|slow|fast|low or high}?",
        "Does it {race|crawl}?")
DANCE = ("What {could|can|would|should|do} {I|you|we|one|people} dance to {it|this|that|the music|this song}?", "{What|Which} {dance|kind of dance|dances} {fits|suits|goes with|would fit|matches} {it|this|the music|the tune}?", "{Can|Could} {I|we|you|one|people} dance to {it|this|that}{|, and how|, and what}?", "{How|What} {do|should|would} {I|we} dance{| to it| to this}?", "Is {it|this} {danceable|dance music|good for dancing|something to dance to}?", "{Which|What} dance {is it|is this|would you do|belongs to it}?", "{We|I} want to dance{| to it| to this}. {What|How|Which dance}?",
         "Which steps would a couple do?")
PURPOSE = ("What {is it|is this|would it be|would this be} {good|suitable|right|made|meant} for?", "{When|Where} {would|could|should|do} {you|I|one} {play|use|listen to|hear} {it|this|that}?", "{What|Which} {scene|situation|occasion|moment|place} {does it fit|would it fit|would it suit|does this suit}?", "What {could|can|should} I use {it|this} for?", "For {what|which} {occasion|scene|film|situation} {is it|would it work|is this right}?", "Where does {it|this} belong?", "What do people do to music like {this|that}?")
DESCRIBE = (
    f"Describe {_IT}{{.||, please.| for me.| in detail.| in one sentence.| briefly.}}", "{Describe|Explain|Tell me} what you hear{.||, please.}", f"Tell me {{about|something about|more about|all about|everything about}} {_IT}.", "What {do|can} you hear{| in it| here| in this| in the recording}?", f"What is {_IT} like?", f"What can you {{say|tell me}} about {_IT}?", "{Write|Give me|I need|Make} {me |}{a|a short|a one-line|a brief} {caption|description|summary}{| of this| for it|, please}.", "Listen{| to this|}{ and|,} describe{| it}.",
    f"{{Please describe|Can you describe|Could you describe|Would you describe}} {_IT}{{|?|, please}}", "What is {playing|going on|happening} {here|in this recording|in it}?", "{Summarise|Summarize|Analyse|Analyze} {the music|it|this|the recording}{.| for me.|}", f"How does {_IT} sound?", "Caption {this|it}.", "{Put|Say} it in {words|a sentence}.", "{What|Anything} {do you notice|stands out|to say about it}{| here}?", "{Your|Any} {impressions|impression|thoughts|comments|analysis}{|, please| of it| on this}{?|.}", "{Full|Complete|Short|Quick} {analysis|description|report|summary}{, please|}{.|}", "{I'd like|Give me} {all the facts|everything you can hear|the details|the whole picture|an overview}{| of it| of this}.",
    "What {have I|did I} {uploaded|sent|attached|given you|upload|send|attach|give you}{| here}?", "{What's|What is} this{| music| recording| piece| track| song|}{|?| about?}", "{Listen to|Check out|Have a listen to|Hear} {this|my recording|my song|the file}{.|!| and comment.}", "{Comment on|Review|Characterise|Portray} {it|this|the music|the piece}{.||, please.}", "{How|What} would you {tell|say to} {a friend|somebody|someone who can't hear} {about it|what it is like}?",
    "Describe the {sound|audio|recording|clip}.", "Paint me a {verbal|word} picture of {it|this}.", "{What|All} do your ears {tell you|make of it}?", "{Introduce|Announce} {it|this} as on the radio.", "If you had to {sell|present} {it|this}, what would you say?",
)
INSTRUMENTS = ("{Which|What} instruments do you hear{| here| in it}", "What instruments {are there|are playing|can be heard|are used|are in it|do they use}", "{Name|List|Tell me|Identify|Give me} {|all |}the instruments{| you hear| in it}", "Who is {playing|in the band}", "{Which|What} instruments {play|are in it|make it up|sound here}", "What is it played {on|with}", "{Instruments|Instrumentation|Line-up|Orchestration}", "{What's|What is} the {instrumentation|line-up|lineup|orchestration|band}", "{Which|What} {band|players|musicians} {is it|are they|do you hear}", "How many instruments{| are there| do you hear}, and which",
               "Which instruments {take part|play here}", "What {are|would be} the instruments")
FEELING = (f"{{How does|What does}} {_IT} feel{{| like}}?", "What {mood|feeling|atmosphere|emotion|vibe} {is it|does it have|is this|does this have}?", f"Is {_IT} {{happy or sad|sad or happy|cheerful or gloomy|bright or dark|dark or bright|joyful or sorrowful}}?", "{What is the|What's the|Name the|Tell me the|Describe the} {mood|feeling|atmosphere|vibe|emotion|emotional tone}{| here| of it}{.|?}", "{Happy or sad|Sad or happy|Bright or dark|Cheerful or gloomy}?", "{What|Which} {emotion|emotions|feelings|feeling|mood} {does it|does this|would it} {express|convey|carry|evoke|raise|give you}?", "{Mood|Vibe|Feeling|Atmosphere|Emotion}{| please|, please}?",
           f"Does {_IT} {{sound|feel}} {{happy|sad|cheerful|gloomy|dark|bright|joyful|depressing|calm|angry|peaceful|tense|melancholic|relaxed}}{{|, or not| or not| to you}}?", "How does it make {you|one|people|me} feel?", "Is {it|this} a {happy|sad|cheerful|gloomy|dark|joyful|melancholy|calm|lively} {song|piece|tune|one}?", "Is {it|this} {energetic or calm|calm or energetic|lively or quiet|relaxing|exciting}?", "{What|Which} {mood|feeling} {are they in|did the composer have|comes across|do you get}?",
           f"{{What emotion|Which feeling}} {{does|would}} {_IT} {{express|convey}}?", "How would you {feel|describe the mood}?", "Would it {cheer me up|make me cry}?")
SOURCE = ("{What|Which} song is {this|it|that}?", "Who {wrote|composed|plays|sings|made|recorded|performs} {this|it|that}?", "{What's|What is|whats} the {name|title} of {this|the|that} {song|piece|track|tune}?", "{Who's|Who is} the {artist|composer|singer|band|author|performer}{| of this| here}?", "{Name|Identify} {this|the} {song|artist|composer|singer|title}.", "{What|Which} {album|band|artist|year|film} is {this|it} from?", "{What|Which} are the {lyrics|words}{| of this| here}?", "What {is the singer singing|are the lyrics} about?", "{Can|Could} you {shazam|name|identify|recognise} {this|the song|it}{| for me}?",
          "When was {this|it} released?", "Is it by a famous {band|composer}?")
IS_MUSIC = ("Is {this|it|that} {|really |even |actually }music{| at all|}?", "Is there {any |}music {in it|here|in this|in the recording|to be heard}?", "{Do|Can} you hear {any |}music?", "Is {this|it} {noise|speech|silence|silent|somebody talking|someone speaking|just noise|empty|a voice|static}?", "{Is there|Do you hear} {anything|something|any sound}{| at all| in it}?", "{Music|Noise|Speech|Silence} or {noise|music|talking|silence}?", "{What|Which} {kind|sort} of {sound|audio|recording} is {this|it}?", "Does {it|this} contain {music|speech|noise|anything}?", "Am I {|just }{hearing|listening to} {noise|music|nothing}?",
            "Is anything musical {going on|happening}?")


def question(rng: np.random.Generator, name: str, held_out: bool = False) -> str:
    """A question about one attribute, from its own list or from a frame that fits all."""
    if chance(rng, 0.5):
        return pick(rng, QUESTIONS[name], held_out)
    thing = say(rng, THINGS[name])
    if thing.startswith("the ") and not held_out and chance(rng, 0.25):
        return say(rng, (f"{{What is|What's|Whats|What would be}} {thing}{{| here| of this| in this}}?",))
    return fill_frame(pick(rng, FRAMES, held_out), thing)


def fill_frame(frame: str, thing: str) -> str:
    text = frame.replace("{thing}", thing)
    return text[0].upper() + text[1:]


def several(rng: np.random.Generator, names: Sequence[str], held_out: bool = False) -> str:
    """One question for several attributes, in this order; "instruments" may be among them."""
    things = [say(rng, _SEVERAL_THINGS) if name == "instruments" else say(rng, THINGS[name]) for name in names]
    if chance(rng, 0.3):  # names alone: "tempo, key"
        things = [thing.removeprefix("the ") for thing in things]
    link = choose(rng, LINKS)
    listed = link.join(things) if chance(rng, 0.4) else choose(rng, (", ", ", ", "; ", " ")).join(things[:-1]) + choose(rng, LINKS[:5]) + things[-1]
    return fill_frame(pick(rng, SEVERAL, held_out).replace("{things}", "{thing}"), listed)


_SEVERAL_THINGS = ("the {instruments|instrumentation|line-up|band|players}", "all instruments", "{which|what} instruments {there are|play|are used}", "who plays")


def patterns() -> dict[str, Sequence[str]]:
    """Every list of frames for hearing, by name."""
    lists: dict[str, Sequence[str]] = {f"question {name}": frames for name, frames in QUESTIONS.items()}
    lists |= {f"yes or no {name}": frames for name, frames in YES_NO.items()}
    return lists | {"frames": FRAMES, "several": SEVERAL, "compare": COMPARE, "pace": PACE, "dance": DANCE, "purpose": PURPOSE, "describe": DESCRIBE,
                    "instruments": INSTRUMENTS, "feeling": FEELING, "source": SOURCE, "is music": IS_MUSIC}

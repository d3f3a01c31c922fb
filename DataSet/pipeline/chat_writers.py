"""Writers over language models: a chat model of transformers in this process, or a server with OpenAI's API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from DataSet.pipeline.caption_request import whole_sentences
from DataSet.pipeline.chat_client import ChatClient, ChatRequest
from DataSet.pipeline.prompt_files import Decoding
from DataSet.pipeline.text_models import generate, load_part, load_text_model, prepare_tokenizer
from DataSet.pipeline.writers import WriterConfig, WritingTask


def by_decoding(tasks: Sequence[WritingTask]) -> Mapping[Decoding, list[int]]:
    """The places of the tasks that are decoded alike."""
    groups: dict[Decoding, list[int]] = {}
    for place, task in enumerate(tasks):
        groups.setdefault(task.decoding, []).append(place)
    return groups


class TransformersWriter:
    """A causal language model with a chat template, such as mistralai/Mistral-7B-Instruct-v0.2. Each text is sampled by its own seed."""

    def __init__(self, config: WriterConfig) -> None:
        self.tokenizer = load_part("AutoTokenizer", config.model, config.revision)
        if not self.tokenizer.chat_template:
            raise ValueError(f"The model {config.model} has no chat template; give an instruct model, or serve it and use the writer address.")
        prepare_tokenizer(self.tokenizer)
        self.model = load_text_model(config.model, revision=config.revision, dtype=config.dtype, device=config.device)

    def write(self, tasks: Sequence[WritingTask]) -> list[str]:
        texts = [""] * len(tasks)
        for decoding, places in by_decoding(tasks).items():
            for place, text in zip(places, self._group([tasks[place] for place in places], decoding), strict=True):
                texts[place] = text
        return texts

    def _group(self, tasks: Sequence[WritingTask], decoding: Decoding) -> list[str]:
        chats = [[{"role": "user", "content": task.prompt}] for task in tasks]
        inputs = self.tokenizer.apply_chat_template(chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True)
        rows = generate(self.model, inputs, decoding, [task.seed for task in tasks], pad_token_id=self.tokenizer.pad_token_id)
        return [whole_sentences(self.tokenizer.decode(tokens, skip_special_tokens=True), complete) for tokens, complete in rows]


class AddressWriter:
    """A chat server, which batches by itself: all texts of a batch are asked for at once."""

    def __init__(self, config: WriterConfig) -> None:
        self.client = ChatClient(config.url, config.model, key_variable=config.key_variable, timeout=config.timeout, concurrency=config.concurrency)

    def write(self, tasks: Sequence[WritingTask]) -> list[str]:
        texts = [""] * len(tasks)
        for decoding, places in by_decoding(tasks).items():
            requests = [ChatRequest([{"role": "user", "content": tasks[place].prompt}], tasks[place].seed) for place in places]
            for place, answer in zip(places, self.client.complete_all(requests, decoding), strict=True):
                texts[place] = whole_sentences(answer.text, answer.complete)
        return texts

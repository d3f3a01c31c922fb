"""Tiny random models of the classes that caption and write, with processors and tokenizers, saved as a user would have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<image>", "<video>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>", "<vision>", "</vision>")
NAMES = {"image_token": "<image>", "video_token": "<video>", "audio_token": "<|AUDIO|>", "audio_bos_token": "<|audio_bos|>",
         "audio_eos_token": "<|audio_eos|>", "vision_bos_token": "<vision>", "vision_eos_token": "</vision>"}  # fmt: skip
MEDIA = {"image": "<image>", "video": "<video>", "audio": "<|audio_bos|><|AUDIO|><|audio_eos|>"}
TEMPLATE = (
    "{% for message in messages %}{% if message['content'] is string %}[INST] {{ message['content'] }} [/INST]{% else %}"
    "USER: {% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}"
    "{% else %}{{ " + repr(MEDIA) + "[part['type']] }} {% endif %}{% endfor %} ASSISTANT:{% endif %}{% endfor %}"
)
TEXT: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
                        "num_key_value_heads": 2, "max_position_embeddings": 1024, "pad_token_id": 0, "bos_token_id": 1,
                        "eos_token_id": 2}  # fmt: skip
VISION: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
                          "image_size": 28, "patch_size": 14}  # fmt: skip
CROP: dict[str, Any] = {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}}
PATCHES: dict[str, Any] = {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1,
                           "chat_template": TEMPLATE}  # fmt: skip
GRID = [[28, 56], [56, 28]]


def tokenizer(folder: Path, chat: bool = True) -> Any:
    """A byte tokenizer: it reads and writes any text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE({token: index for index, token in enumerate([*SPECIAL, *alphabet])}, [], unk_token="<unk>"))
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    inner.add_special_tokens(list(SPECIAL))
    result = hf.PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>",
                                        extra_special_tokens=NAMES)  # fmt: skip
    if chat:
        result.chat_template = TEMPLATE
    result.save_pretrained(folder)
    return result


def save(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder


def mistral(folder: Path, chat: bool = True) -> Path:
    torch.manual_seed(0)
    tokens = tokenizer(folder, chat)
    return save(hf.MistralForCausalLM(hf.MistralConfig(vocab_size=len(tokens), **TEXT)), folder)


def blip(folder: Path) -> Path:
    torch.manual_seed(0)
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] a cat of photo picture the sea dog is on".split()
    (folder / "vocab.txt").write_text("\n".join(words))
    tokens = hf.BertTokenizer(str(folder / "vocab.txt"))
    text = {"vocab_size": len(words), "hidden_size": 32, "encoder_hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
            "num_attention_heads": 2, "bos_token_id": 2, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}  # fmt: skip
    config = hf.BlipConfig(text_config=text, vision_config=VISION, projection_dim=32)
    hf.BlipProcessor(hf.BlipImageProcessor(size={"height": 28, "width": 28}), tokens).save_pretrained(folder)
    return save(hf.BlipForConditionalGeneration(config), folder)


def timesformer_gpt2(folder: Path) -> Path:
    torch.manual_seed(3)
    tokens = tokenizer(folder, chat=False)
    encoder = hf.TimesformerConfig(image_size=28, patch_size=14, num_frames=4, hidden_size=32, intermediate_size=48,
                                   num_hidden_layers=1, num_attention_heads=2)  # fmt: skip
    decoder = hf.GPT2Config(vocab_size=len(tokens), n_embd=32, n_layer=1, n_head=2, n_positions=128,
                            add_cross_attention=True, is_decoder=True, bos_token_id=1, eos_token_id=2)  # fmt: skip
    config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 1, 0, 2
    hf.VideoMAEImageProcessor(**CROP).save_pretrained(folder)
    return save(hf.VisionEncoderDecoderModel(config), folder)


def llava_next(folder: Path) -> Path:
    torch.manual_seed(0)
    tokens = tokenizer(folder)
    text = hf.MistralConfig(vocab_size=len(tokens), **TEXT)
    config = hf.LlavaNextConfig(vision_config=hf.CLIPVisionConfig(**VISION), text_config=text, image_token_index=4,
                                image_grid_pinpoints=GRID, vision_feature_layer=-1)  # fmt: skip
    image = hf.LlavaNextImageProcessor(**CROP, image_grid_pinpoints=GRID)
    hf.LlavaNextProcessor(image, tokens, image_token="<image>", **PATCHES).save_pretrained(folder)
    return save(hf.LlavaNextForConditionalGeneration(config), folder)


def video_llava(folder: Path) -> Path:
    torch.manual_seed(0)
    tokens = tokenizer(folder)
    text = hf.LlamaConfig(vocab_size=len(tokens), **TEXT)
    config = hf.VideoLlavaConfig(vision_config=hf.CLIPVisionConfig(**VISION), text_config=text, image_token_index=4,
                                 video_token_index=5, image_seq_length=4, video_seq_length=40,
                                 vision_feature_layer=-1)  # fmt: skip
    processors = {"image_processor": hf.VideoLlavaImageProcessor(**CROP), "video_processor": hf.VideoLlavaVideoProcessor(**CROP)}
    hf.VideoLlavaProcessor(**processors, tokenizer=tokens, **PATCHES).save_pretrained(folder)
    return save(hf.VideoLlavaForConditionalGeneration(config), folder)


def qwen2_audio(folder: Path) -> Path:
    torch.manual_seed(0)
    tokens = tokenizer(folder)
    audio = hf.Qwen2AudioEncoderConfig(d_model=32, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=48, num_mel_bins=128)
    text = hf.Qwen2Config(vocab_size=len(tokens), **TEXT)
    config = hf.Qwen2AudioConfig(audio_config=audio, text_config=text, audio_token_index=6)
    hf.Qwen2AudioProcessor(hf.WhisperFeatureExtractor(feature_size=128), tokens, chat_template=TEMPLATE).save_pretrained(folder)
    return save(hf.Qwen2AudioForConditionalGeneration(config), folder)


def flamingo(folder: Path, name: str) -> Path:
    """name: AudioFlamingo3 or MusicFlamingo."""
    torch.manual_seed(1)
    tokens = tokenizer(folder)
    audio = hf.AudioFlamingo3EncoderConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48)
    text = hf.Qwen2Config(vocab_size=len(tokens), **TEXT)
    marks = {"audio_bos_token_id": 7, "audio_eos_token_id": 8} if name == "MusicFlamingo" else {}
    config = getattr(hf, f"{name}Config")(audio_config=audio, text_config=text, audio_token_id=6, **marks)
    words = {"audio_bos_token": "<|audio_bos|>", "audio_eos_token": "<|audio_eos|>"} if marks else {}
    words |= {"audio_token": "<|AUDIO|>", "chat_template": TEMPLATE}
    getattr(hf, f"{name}Processor")(hf.WhisperFeatureExtractor(feature_size=128), tokens, **words).save_pretrained(folder)
    return save(getattr(hf, f"{name}ForConditionalGeneration")(config), folder)


def qwen3_omni(folder: Path) -> Path:
    torch.manual_seed(1)
    tokens = tokenizer(folder)
    text = {**TEXT, "vocab_size": len(tokens), "moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2,
            "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}}  # fmt: skip
    audio = {"d_model": 32, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 48, "output_dim": 32,
             "downsample_hidden_size": 8}  # fmt: skip
    vision = {"depth": 1, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 32,
              "deepstack_visual_indexes": [0]}  # fmt: skip
    thinker = {"text_config": text, "audio_config": audio, "vision_config": vision, "image_token_id": 4, "video_token_id": 5,
               "audio_token_id": 6, "audio_start_token_id": 7, "vision_start_token_id": 9}  # fmt: skip
    config = hf.Qwen3OmniMoeConfig(thinker_config=thinker, enable_audio_output=False)
    parts = (hf.Qwen2VLImageProcessor(), hf.Qwen2VLVideoProcessor(), hf.WhisperFeatureExtractor(feature_size=128), tokens)
    hf.Qwen3OmniMoeProcessor(*parts, chat_template=TEMPLATE).save_pretrained(folder)
    return save(hf.Qwen3OmniMoeForConditionalGeneration(config), folder)


def rename_class(folder: Path, name: str) -> None:
    """Lets config.json name another class."""
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "architectures": [name]}))

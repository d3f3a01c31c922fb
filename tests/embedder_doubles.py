"""Tiny random models of the classes that the embedders load, saved as their published folders are."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTForAudioClassification,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    PeAudioFeatureExtractor,
    PeAudioVideoConfig,
    PeAudioVideoModel,
    PeVideoVideoProcessor,
    PreTrainedTokenizerFast,
)

from llama.evaluation import vggish


def clap_folder(folder: Path, fusion: bool = False) -> Path:
    torch.manual_seed(1)
    config = ClapConfig(
        text_config={"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 60},
        audio_config={"depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 2, 2], "patch_embeds_hidden_size": 8, "hidden_size": 64,
                      "window_size": 8, "enable_fusion": fusion},
        projection_dim=24,
    )  # fmt: skip
    ClapModel(config).save_pretrained(folder)
    ClapFeatureExtractor(truncation="fusion").save_pretrained(folder)  # the published default, which must not be followed
    words = ["<s>", "<pad>", "</s>", "<unk>", "piano", "waltz", "rock", "guitar", "a"]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>").save_pretrained(folder)
    return folder


def ast_folder(folder: Path) -> Path:
    torch.manual_seed(2)
    config = ASTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, num_labels=527,
                       max_length=128, num_mel_bins=32)  # fmt: skip
    ASTForAudioClassification(config).save_pretrained(folder)
    ASTFeatureExtractor(max_length=128, num_mel_bins=32).save_pretrained(folder)
    return folder


def vggish_state() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return vggish.VGGish((4, 4, 8, 8, 8, 8), (16, 16, 12)).state_dict()


def pe_av_folder(folder: Path) -> Path:
    torch.manual_seed(4)
    layers = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 16}
    text = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 50,
            "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2, "model_type": "modernbert"}
    codec = {"downsampling_ratios": [2, 8, 10, 12], "encoder_hidden_size": 4, "codebook_dim": 8, "hidden_size": 16, "n_codebooks": 2}
    vision = {"architecture": "test_vit", "model_args": {"img_size": 32}, "do_pooling": True, "num_classes": 16, "global_pool": "map",
              "initializer_range": 0.02, "model_type": "timm_wrapper"}
    parts = {"audio_config": {"dac_config": codec, "model_type": "pe_audio_encoder", **layers},
             "video_config": {"vision_config": vision, "model_type": "pe_video_encoder", **layers}}  # fmt: skip
    PeAudioVideoModel(PeAudioVideoConfig(text_config=text, audio_video_config={**parts, **layers})).save_pretrained(folder)
    PeAudioFeatureExtractor().save_pretrained(folder)
    half = [0.5, 0.5, 0.5]
    PeVideoVideoProcessor(size={"height": 32, "width": 32}, do_sample_frames=False, do_resize=True, do_rescale=True, do_normalize=True,
                          image_mean=half, image_std=half, do_convert_rgb=True).save_pretrained(folder)  # fmt: skip
    return folder

"""moondream2 from native classes: a SigLIP vision encoder, a projector, and Phi-1.5 with fused projections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import Cache, GenerationMixin, PreTrainedModel, SiglipVisionModel
from transformers.activations import ACT2FN
from transformers.modeling_outputs import BaseModelOutputWithPast, BaseModelOutputWithPooling, CausalLMOutputWithPast
from transformers.modeling_utils import slice_logits_to_keep
from transformers.utils import torch_compilable_check

from finesight.models.moondream.config import MoondreamConfig
from finesight.models.moondream.crops import stitch_crops
from finesight.models.moondream.language import FusedPhiModel


class MoondreamPreTrainedModel(PreTrainedModel):  # type: ignore[misc]
    """What transformers needs to know of both classes below."""

    config: MoondreamConfig
    config_class = MoondreamConfig
    base_model_prefix = "model"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    _no_split_modules = ["PhiDecoderLayer", "SiglipEncoderLayer"]  # noqa: RUF012
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012
    _supports_sdpa = True
    _supports_attention_backend = True


class MoondreamProjector(nn.Module):
    """Two linear layers with a tanh GELU between them."""

    def __init__(self, config: MoondreamConfig) -> None:
        super().__init__()
        self.views = config.projector_views
        self.encoder_size = config.vision_config.hidden_size
        self.fc1 = nn.Linear(self.views * self.encoder_size, config.projector_hidden_size)
        self.activation = ACT2FN["gelu_pytorch_tanh"]
        self.fc2 = nn.Linear(config.projector_hidden_size, config.text_config.hidden_size)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return float[images, patches, text hidden] for the encoder's features of images.

        They are float[images, patches, views · encoder hidden]: of the whole image, then of its crops. Of the whole
        image alone, float[images, patches, encoder hidden], they stand for both, as in the original.
        """
        if features.shape[-1] == self.encoder_size:
            features = torch.cat([features] * self.views, dim=-1)
        projected: torch.Tensor = self.fc2(self.activation(self.fc1(features)))
        return projected


class MoondreamModel(MoondreamPreTrainedModel):
    """Everything but the head."""

    def __init__(self, config: MoondreamConfig) -> None:
        super().__init__(config)
        self.vision_tower = SiglipVisionModel(config.vision_config)
        self.multi_modal_projector = MoondreamProjector(config)
        self.language_model = FusedPhiModel(config.text_config)
        self.post_init()

    def get_image_features(
        self,
        pixel_values: torch.Tensor,
        crop_values: torch.Tensor | None = None,
        crop_grids: torch.Tensor | None = None,
    ) -> BaseModelOutputWithPooling:
        """Return what stands for images in the text, in `pooler_output`: for each float[patches, text hidden].

        `pixel_values` are the whole images, float[images, 3, size, size]. `crop_values`, float[crops, 3, size, size],
        are the crops of all of them, row by row; `crop_grids`, int[images, 2], says how many rows and columns of crops
        each has, 0 and 0 where the whole image stands for its crops too.
        """
        features: torch.Tensor = self.vision_tower(pixel_values).last_hidden_state
        if crop_values is not None and crop_grids is not None and len(crop_values):
            of_crops = self.vision_tower(crop_values).last_hidden_state
            stitched = stitch_crops(features, of_crops, crop_grids.tolist(), self.config.overlap_patches)
            features = torch.cat([features, stitched], dim=-1)
        return BaseModelOutputWithPooling(pooler_output=list(self.multi_modal_projector(features)))

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        crop_values: torch.Tensor | None = None,
        crop_grids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        mm_encoder_outputs: Mapping[str, BaseModelOutputWithPooling] | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Return the last hidden states, float[rows, tokens, hidden]; arguments as in transformers' own LLaVA."""
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        if input_ids is not None:
            places = input_ids == self.config.image_token_id
            # The image token may lie outside of the vocabulary: nothing but its place is ever used.
            inputs_embeds = self.language_model.embed_tokens(input_ids.masked_fill(places, 0))
            if pixel_values is not None:
                mm_encoder_outputs = {"image": self.get_image_features(pixel_values, crop_values, crop_grids)}
            if mm_encoder_outputs is not None:
                features = torch.cat(list(mm_encoder_outputs["image"].pooler_output))
                torch_compilable_check(
                    places.sum() == len(features), "there are not as many image tokens as image features"
                )
                inputs_embeds = inputs_embeds.masked_scatter(places[..., None], features.to(inputs_embeds.dtype))
            if self.config.two_way and (attention_mask is None or attention_mask.ndim == 2):
                attention_mask = _two_way_mask(places, attention_mask, inputs_embeds.dtype)
        return self.language_model(
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            **kwargs,
        )


class MoondreamForConditionalGeneration(MoondreamPreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """moondream2 with its head, which has a bias and is not tied to the embeddings."""

    def __init__(self, config: MoondreamConfig) -> None:
        super().__init__(config)
        self.model = MoondreamModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size)
        self.checkpoint: Any = None
        """The `Checkpoint` that the weights came from, in whose layout they are written again."""
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """Return the embeddings of the text model."""
        embeddings: nn.Module = self.model.language_model.embed_tokens
        return embeddings

    def get_output_embeddings(self) -> nn.Module:
        """Return the head."""
        return self.lm_head

    def get_image_features(self, pixel_values: torch.Tensor, **crops: torch.Tensor) -> BaseModelOutputWithPooling:
        """Return what stands for images in the text, as `MoondreamModel.get_image_features` does."""
        return self.model.get_image_features(pixel_values, **crops)

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        crop_values: torch.Tensor | None = None,
        crop_grids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Return logits where `logits_to_keep` asks for them, as transformers' own models do.

        Its arguments have names of their own because `generate` refuses what it does not find among them.
        """
        outputs = self.model(
            input_ids=input_ids,
            pixel_values=pixel_values,
            crop_values=crop_values,
            crop_grids=crop_grids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            **kwargs,
        )
        logits = self.lm_head(slice_logits_to_keep(outputs.last_hidden_state, logits_to_keep))
        return CausalLMOutputWithPast(logits=logits, past_key_values=outputs.past_key_values)

    def prepare_inputs_for_generation(
        self, input_ids: torch.Tensor, is_first_iteration: bool | None = False, **kwargs: Any
    ) -> dict[str, Any]:
        """Return a step's arguments; images go in with the first one alone, and lie in the cache from then on."""
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(
            input_ids, is_first_iteration=is_first_iteration, **kwargs
        )
        if not is_first_iteration and kwargs.get("use_cache", True):
            for name in ("pixel_values", "crop_values", "crop_grids", "mm_encoder_outputs"):
                inputs.pop(name, None)
        return inputs


def _two_way_mask(places: torch.Tensor, attention_mask: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor | None:
    """Return the additive mask in which everything up to a row's last image token sees each other.

    `places` says where image tokens stand, bool[rows, tokens]. The mask is float[rows, 1, tokens, tokens]; or what was
    given, where a step holds no image: then it is causal, or goes on behind the cache.
    """
    if not bool(places.any()):
        return attention_mask
    tokens = places.shape[1]
    index = torch.arange(tokens, device=places.device)
    inside = places.flip(1).cumsum(1).flip(1) > 0  # an image token stands here or behind
    seen = (index[None, :] <= index[:, None]) | (inside[:, :, None] & inside[:, None, :])
    if attention_mask is not None:
        # A padded token sees itself: a row of the mask without any 0 is NaN in eager attention.
        seen = (seen & attention_mask[:, None, :].bool()) | torch.eye(tokens, dtype=torch.bool, device=places.device)
    mask = torch.zeros(seen.shape, dtype=dtype, device=places.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]

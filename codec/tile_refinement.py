"""A tile's latents refined for its picture, and taken where real bytes and real pixels say that they are better.

Refinement counts the pixels of the tile and those that its latents reach beyond its border. For their synthesis the latents
around the tile stand as analysed: how the neighbours will be quantised is not known yet, and hardly matters here.
"""

from __future__ import annotations

import numpy as np
import torch

from vqc.bitstream import ImageHeader
from vqc.models import weights
from vqc.models.entropy_model import hyper_symbols
from vqc.models.image_refinement import SCHEDULES, Scene, SquaredError, slope_of_quality

from .image_tiles import HALO, PATCH, REACH, Tiling, Window, colour_window
from .latent_coding import decode_latents, encode_latents
from .timing import span


class TileRefiner:
    """Codes the tiles of one picture, colour (H, W, 1 or 3), with gradient steps on their latents."""

    def __init__(self, colour: np.ndarray, header: ImageHeader, device: torch.device, effort: int) -> None:
        self.colour, self.quality, self.effort = colour, header.quality, effort
        self.encoder = weights.image_encoder(header.model, device)
        self.decoder = weights.image_decoder(header.model, device)
        self.refiner = weights.image_refiner(header.model, device)
        self.tiling = Tiling(header.height, header.width, header.tile)
        self.picture = Window(0, header.height, 0, header.width)
        self.device = device

    def code(self, number: int) -> tuple[bytes, int]:
        """Payload and digest of a tile: of the refined latents, or of those it began with where they cost less."""
        own = self.tiling.window(number)
        with span("refinement"):
            scene = self._scene(own)
            start = scene.latents[(..., *scene.own)]
            refined, hyper = self.refiner.refine(scene, SCHEDULES[self.effort])
        candidates = [(refined, hyper_symbols(hyper)), (start, self.encoder.hyper(start))]
        coded = [encode_latents(self.encoder, self.decoder, *candidate, self.quality) for candidate in candidates]
        with span("refinement"):
            return min(coded, key=lambda one: self._cost(scene, *one))

    def _scene(self, own: Window) -> Scene:
        whole = self.tiling.latents
        counted = own.grown(REACH, whole)
        seen = counted.grown(HALO, whole)
        analysed = seen.grown(HALO, whole)
        colour = colour_window(self.colour, analysed.scaled(PATCH))
        latents = self.encoder.analyse(colour, self.quality)[(..., *seen.slices(analysed))]
        real = counted.scaled(PATCH).intersection(self.picture)  # not what fills up the last latents
        target = colour[real.slices(analysed.scaled(PATCH))]
        return Scene(
            error=SquaredError(torch.from_numpy(target).permute(2, 0, 1)[None].to(self.device)),
            latents=latents.clone(),  # a tensor that autograd takes: those of inference it refuses
            own=own.slices(seen),
            target=real.slices(seen.scaled(PATCH)),
            quality=self.quality,
        )

    def _cost(self, scene: Scene, payload: bytes, digest: int) -> float:
        """Bits of a payload and, weighted, the squared error of what it decodes to."""
        rows, columns = scene.own
        h, w = rows.stop - rows.start, columns.stop - columns.start
        latents = scene.latents[0].cpu().numpy().copy()
        decoded = decode_latents(self.decoder, payload, digest, h, w, self.quality)
        latents[:, rows, columns] = self.decoder.dequantise(decoded, h, w, self.quality)
        pixels = self.decoder.synthesise(latents, self.quality)[scene.target]
        error = scene.error(torch.from_numpy(pixels).permute(2, 0, 1)[None].to(self.device))
        return 8 * len(payload) + slope_of_quality(self.quality) * float(error)

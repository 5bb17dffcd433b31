"""Another way to compute a stack's convolutions: batched matrix products in place of grouped convolutions.

Equal to these to 1e-12 in float64. Taps of a kernel that only ever see padding are left out: on a map of one pixel eight of nine,
whose gradients are exactly 0. On an H200 a step of 64 ResNet-18 takes two thirds of what it takes by grouped convolutions, and
one of ResNet-8 somewhat more (docs/evidence/gpu.md).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

FEWEST_CHANNELS = 64  # of one model, from which on products are faster on the GPU that was measured

Taps = list[tuple[int, int]]  # rows and columns of a kernel


class Products(torch.autograd.Function):
    """Grouped convolution of M models, channels last: columns of the taps that matter, then one batched product."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, models: int, stride: int, padding: int) -> Tensor:
        """[B, M*C, H, W] -> [B, M*O, H', W']; weight [M*O, C, k, k]."""
        columns, taps, size = _columns(x, models, weight.shape[-1], stride, padding)
        matrix = _matrix(weight, models, taps)
        out = x.new_empty(len(columns), models, matrix.shape[1])
        torch.bmm(columns.transpose(0, 1), matrix.transpose(1, 2), out=out.transpose(0, 1))
        ctx.save_for_backward(columns, matrix)
        ctx.shapes, ctx.taps, ctx.size = (x.shape, weight.shape), taps, size
        ctx.models, ctx.stride, ctx.padding = models, stride, padding
        return out.view(len(x), *size, -1).permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, None, None, None]:
        """Gradients of the pictures, if anybody wants them, and of the weights."""
        columns, matrix = ctx.saved_tensors
        by_model = grad.permute(0, 2, 3, 1).reshape(len(columns), ctx.models, -1).transpose(0, 1)  # [M, N, O]
        of_weight = _gradient_of_weight(ctx, torch.bmm(by_model.transpose(1, 2), columns.transpose(0, 1)))
        if not ctx.needs_input_grad[0]:
            return None, of_weight, None, None, None
        of_columns = columns.new_empty(columns.shape)
        torch.bmm(by_model, matrix, out=of_columns.transpose(0, 1))
        return _gradient_of_pictures(ctx, of_columns), of_weight, None, None, None


def _taps(size: int, kernel: int, stride: int, padding: int) -> list[int]:
    """Rows of a kernel that ever meet a pixel: of 3 at a map of one pixel, the middle one."""
    outputs = _outputs(size, kernel, stride, padding)
    return [tap for tap in range(kernel) if any(0 <= out * stride - padding + tap < size for out in range(outputs))]


def _outputs(size: int, kernel: int, stride: int, padding: int) -> int:
    return (size + 2 * padding - kernel) // stride + 1


def _seen(padded: Tensor, tap: tuple[int, int], stride: int, size: tuple[int, int]) -> Tensor:
    """The pixels [B, H', W', M, C] that one tap of the kernel meets."""
    (row, column), (height, width) = tap, size
    return padded[:, row : row + stride * (height - 1) + 1 : stride, column : column + stride * (width - 1) + 1 : stride]


def _columns(x: Tensor, models: int, kernel: int, stride: int, padding: int) -> tuple[Tensor, Taps, tuple[int, int]]:
    """What every output pixel sees [B*H'*W', M, T*C], the T taps, and the size of the output."""
    height, width = x.shape[2:]
    size = _outputs(height, kernel, stride, padding), _outputs(width, kernel, stride, padding)
    rows, columns = _taps(height, kernel, stride, padding), _taps(width, kernel, stride, padding)
    padded = x.permute(0, 2, 3, 1).unflatten(-1, (models, -1))
    if padding:
        padded = functional.pad(padded, (0, 0, 0, 0, padding, padding, padding, padding))
    taps = [(row, column) for row in rows for column in columns]
    parts = [_seen(padded, tap, stride, size) for tap in taps]
    table = parts[0] if len(parts) == 1 else torch.cat(parts, -1)
    return table.reshape(len(x) * size[0] * size[1], models, -1), taps, size


def _matrix(weight: Tensor, models: int, taps: Taps) -> Tensor:
    """The weights of the taps [M, O, T*C]."""
    last = weight.unflatten(0, (models, -1)).permute(0, 1, 3, 4, 2)  # [M, O, k, k, C]
    if len(taps) == weight.shape[-1] ** 2:
        every: Tensor = last.reshape(models, last.shape[1], -1)
        return every
    return torch.cat([last[:, :, row, column] for row, column in taps], -1)


def _gradient_of_weight(ctx: Any, of_matrix: Tensor) -> Tensor:
    """[M, O, T*C] -> [M*O, C, k, k]."""
    outputs, channels, kernel, _ = ctx.shapes[1]
    found = of_matrix.new_zeros(ctx.models, outputs // ctx.models, kernel, kernel, channels)
    for part, (row, column) in zip(of_matrix.split(channels, -1), ctx.taps, strict=True):
        found[:, :, row, column] = part
    return found.flatten(0, 1).permute(0, 3, 1, 2)


def _gradient_of_pictures(ctx: Any, of_columns: Tensor) -> Tensor:
    """[B*H'*W', M, T*C] -> [B, M*C, H, W]."""
    (batch, _, height, width), channels, padding = ctx.shapes[0], ctx.shapes[1][1], ctx.padding
    parts = of_columns.view(batch, *ctx.size, ctx.models, -1).split(channels, -1)
    found = of_columns.new_zeros(batch, height + 2 * padding, width + 2 * padding, ctx.models, channels)
    for part, tap in zip(parts, ctx.taps, strict=True):
        _seen(found, tap, ctx.stride, ctx.size).add_(part)
    return found[:, padding : padding + height, padding : padding + width].flatten(3).contiguous().permute(0, 3, 1, 2)


def fits(module: nn.Conv2d, models: int, images: Tensor) -> bool:
    """Whether the convolution of a stack is computed by products: what they can express, where they are faster."""
    square = len({*module.kernel_size}) == len({*module.stride}) == 1 and module.padding in ((0, 0), (1, 1), (2, 2), (3, 3))
    met = square and int(module.padding[0]) < module.kernel_size[0] and len(images) > 0  # some tap meets some pixel
    plain = met and module.dilation == (1, 1) and module.padding_mode == "zeros" and module.groups == models
    return bool(plain) and models > 1 and faster(images.device.type, images.shape[1] // models)


def faster(device: str, channels: int) -> bool:
    """Whether products are faster than grouped convolutions on a kind of device, by the channels of one model."""
    return device == "cuda" and channels >= FEWEST_CHANNELS


def convolved(module: nn.Conv2d, models: int, images: Tensor) -> Tensor:
    """What a stack's convolution makes of images [B, M*C, H, W], by products."""
    kind = images.device.type  # autocast leaves products with `out=` alone
    wanted = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else module.weight.dtype
    stride, padding = module.stride[0], int(module.padding[0])
    out: Tensor = Products.apply(images.to(wanted), module.weight.to(wanted), models, stride, padding)
    return out if module.bias is None else out + module.bias.to(wanted)[:, None, None]

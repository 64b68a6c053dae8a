// One decoder per image format, from bytes to 8-bit BGR as stored (TIFF: upright). Each follows what OpenCV's
// IMREAD_COLOR returns for the same bytes. InvalidArgument with the reason. The caller has checked the size.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "opencv2/core/mat.hpp"

namespace yoke::engine {

// Whether a JPEG is one that all decoders read alike: its end is there, its colours are YCbCr or
// grey.
bool IsCommonJpeg(absl::Span<const uint8_t> bytes);
absl::StatusOr<cv::Mat> DecodeJpeg(absl::Span<const uint8_t> bytes);
absl::StatusOr<cv::Mat> DecodePng(absl::Span<const uint8_t> bytes);
absl::StatusOr<cv::Mat> DecodeWebp(absl::Span<const uint8_t> bytes);
// Uncompressed, 1, 4, 8, 16, 24 or 32 bits a pixel, either row order.
absl::StatusOr<cv::Mat> DecodeBmp(absl::Span<const uint8_t> bytes);
// The first page; mirrored and upside-down orientations are undone, turned ones (5 to 8) are not.
absl::StatusOr<cv::Mat> DecodeTiff(absl::Span<const uint8_t> bytes);

}  // namespace yoke::engine

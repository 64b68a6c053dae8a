// The full training state for resume: checkpoints/a.ckpt and b.ckpt, written in turn, each with a
// CRC.
#pragma once

#include <map>
#include <string>

#include "ATen/ATen.h"
#include "absl/status/statusor.h"

namespace yoke::engine {

struct TrainState {
  std::map<std::string, at::Tensor> tensors;   // "model:…", "optimizer:…": any dtype, CPU
  std::map<std::string, double> numbers;       // epoch, best_fitness, ema_updates ...
  std::map<std::string, std::string> strings;  // names as JSON, recipe ...
  int64_t generation = 0;                      // grows by one with each save
};

// Writes the older of the two generations under `dir`, atomically. The newer one is not touched.
// ResourceExhausted: disk full (nothing is lost). Internal: other I/O errors.
absl::Status SaveState(const std::string& dir, TrainState& state);

// The newest generation that verifies, after a look at every byte of both. `warning`, if not null,
// names a damaged one and what is used instead. NotFound: none at all. DataLoss: files are there
// and none verifies; names each with its reason.
absl::StatusOr<TrainState> LoadState(const std::string& dir, std::string* warning);

}  // namespace yoke::engine

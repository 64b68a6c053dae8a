// The exponential moving average of a model's state: what is validated and saved.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/engine/train/flat_model.h"

namespace yoke::engine {

class Ema {
 public:
  // Starts as a copy of `model` and follows it. `flat` holds `model` and must outlive this.
  static absl::StatusOr<std::unique_ptr<Ema>> Create(DetectionModel& model, const FlatModel& flat);

  // After an optimiser step: every floating entry of the state, BatchNorm statistics included,
  // moves to the followed model's with decay 0.9999 (1 - exp(-updates / 2000)).
  void Update();
  // Starts over as a copy.
  void Restart();

  DetectionModel& model() { return *model_; }
  const at::Tensor& values() const { return averages_; }  // laid out as FlatModel::values()
  int64_t updates() const { return updates_; }
  void set_updates(int64_t updates) { updates_ = updates; }

 private:
  std::shared_ptr<DetectionModel> model_;
  at::Tensor averages_, followed_;
  int64_t updates_ = 0;
};

// Parameters and buffers by name; the tensors share memory with the model's.
std::map<std::string, at::Tensor> StateOf(const DetectionModel& model);

// Copies values; names missing on either side are left alone.
void CopyState(const std::map<std::string, at::Tensor>& from, DetectionModel& to);

}  // namespace yoke::engine

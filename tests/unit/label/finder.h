// A tiny detector of two classes that finds one of them in every picture, or nothing in any; and an
// observer that remembers.
#pragma once

#include <string>
#include <vector>

#include "common/base/check.h"
#include "server/engine/checkpoint/weights.h"
#include "server/engine/observer.h"

namespace yoke::engine {

inline void WriteFinder(const std::string& path, bool finds,
                        const std::vector<std::string>& names = {"cat", "dog"}, int found = 1) {
  auto model = *DetectionModel::Create({'n', 2});
  Weights weights;
  weights.spec = {'n', 2};
  weights.names = names;
  for (auto& item : model->named_parameters())
    weights.state[item.key()] = item.value().detach().clone();
  for (auto& item : model->named_buffers()) weights.state[item.key()] = item.value().clone();
  for (const char* level : {"0", "1", "2"}) {
    const std::string name = std::string("model.22.cv3.") + level + ".2.bias";
    at::Tensor bias = at::full({2}, -20.0f);
    if (finds) bias[found] = 5.0f;
    weights.state.at(name) = bias;
  }
  const absl::Status status = WriteWeights(path, weights);
  YOKE_CHECK_MSG(status.ok(), status.ToString());
}

class RecordingObserver : public Observer {
 public:
  void OnPhase(const std::string& phase) override { phases.push_back(phase); }
  void OnProgress(int64_t done, int64_t of, const std::string&) override {
    progress.push_back(done);
    total = of;
  }
  void OnWarning(const std::string& sentence) override { warnings.push_back(sentence); }
  void OnLog(const std::string& line) override { logs.push_back(line); }

  std::vector<std::string> phases, warnings, logs;
  std::vector<int64_t> progress;
  int64_t total = 0;
};

}  // namespace yoke::engine

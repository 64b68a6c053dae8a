#include "server/engine/eval/inference_model.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/engine/checkpoint/weights.h"

namespace yoke::engine {

absl::StatusOr<InferenceModel> LoadForInference(const std::string& path, at::Device device,
                                                at::ScalarType type) {
  YOKE_ASSIGN_OR_RETURN(Weights weights, ReadWeights(path));
  InferenceModel loaded;
  YOKE_ASSIGN_OR_RETURN(loaded.model, ModelOf(weights, path));
  try {
    loaded.model->eval();
    loaded.model->Fuse();
    loaded.model->to(device, type);
  } catch (const c10::Error& error) {
    return absl::InternalError(absl::StrCat("cannot move ", path, " to ", device.str(), ": ",
                                            error.what_without_backtrace()));
  }
  loaded.names = std::move(weights.names);
  return loaded;
}

}  // namespace yoke::engine

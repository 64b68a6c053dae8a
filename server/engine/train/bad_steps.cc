#include "server/engine/train/bad_steps.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"
#include "server/engine/checkpoint/state.h"
#include "server/engine/train/resume.h"

namespace yoke::engine {
namespace {

// float16 finds its loss scale by such steps.
constexpr int kBadStepsMax = 3, kBadStepsMaxScaled = 20;
constexpr int kRollbacksMax = 3;
constexpr size_t kImagesNamed = 16;

}  // namespace

// Gradients are the same on all ranks, so all come to the same decision.
absl::Status BadSteps::Add(const FinishedIteration& iteration) {
  if (!iteration.stepped) return absl::OkStatus();  // its step will not be finite either
  ++s_.progress.skipped_steps;
  const bool scaled = s_.scaler->enabled();
  if (!scaled || in_a_row_ > kBadStepsMax) {
    if (told_++ < kBadStepsMax * kRollbacksMax) {
      observer_.OnWarning(absl::StrCat(
          "step left out: losses or gradients are not finite at iteration ", iteration.position + 1,
          " of epoch ", iteration.epoch + 1, " (box ", iteration.box, ", cls ", iteration.cls,
          ", dfl ", iteration.dfl, "), with the images ", NamesOf(iteration)));
    }
  }
  if (++in_a_row_ < (scaled ? kBadStepsMaxScaled : kBadStepsMax)) return absl::OkStatus();
  in_a_row_ = 0;
  return RollBack();
}

std::string BadSteps::NamesOf(const FinishedIteration& iteration) const {
  std::vector<std::string> names;
  for (const int64_t sample : iteration.samples) {
    if (names.size() == kImagesNamed) {
      names.push_back("...");
      break;
    }
    names.push_back(s_.data.train.samples[static_cast<size_t>(sample)].image_path);
  }
  return absl::StrJoin(names, " ");
}

absl::Status BadSteps::RollBack() {
  if (s_.progress.rollbacks >= kRollbacksMax) {
    return absl::OutOfRangeError(
        absl::StrCat("losses or gradients stay not finite: ", s_.progress.skipped_steps,
                     " steps were left out and the training went back ", s_.progress.rollbacks,
                     " times; lower lr0", s_.precision.has_value() ? " or give amp=false" : "",
                     ". best.pt and last.pt are those of good epochs"));
  }
  ++s_.progress.rollbacks;
  std::string ignored;
  const absl::StatusOr<TrainState> state = LoadState(s_.config.run_dir + "/checkpoints", &ignored);
  Observer silent;
  if (state.ok()) {
    RestoreTensors(*state, s_);
  } else {
    YOKE_RETURN_IF_ERROR(ResetWeights(s_, group_, silent));
  }
  s_.scaler->Reset();
  step_.Forget();
  if (group_.rank() == 0) {
    observer_.OnWarning(absl::StrCat(
        "went back to ", state.ok() ? "the last state saved" : "the weights it began with",
        "; the training goes on with the next images"));
  }
  return absl::OkStatus();
}

}  // namespace yoke::engine

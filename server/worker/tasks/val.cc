#include "common/base/status_macros.h"
#include "server/engine/eval/validator.h"
#include "server/worker/tasks/tasks.h"

namespace yoke::worker {
namespace {

nlohmann::json ClassJson(const engine::ClassMetrics& c) {
  return {{"classId", c.class_id},    {"name", c.name},           {"images", c.images},
          {"instances", c.instances}, {"precision", c.precision}, {"recall", c.recall},
          {"map50", c.map50},         {"map5095", c.map5095}};
}

nlohmann::json CocoJson(const engine::CocoMetrics& m) {
  return {{"ap", m.ap},
          {"ap50", m.ap50},
          {"ap75", m.ap75},
          {"apSmall", m.ap_small},
          {"apMedium", m.ap_medium},
          {"apLarge", m.ap_large},
          {"ar1", m.ar1},
          {"ar10", m.ar10},
          {"ar100", m.ar100},
          {"arSmall", m.ar_small},
          {"arMedium", m.ar_medium},
          {"arLarge", m.ar_large}};
}

}  // namespace

absl::StatusOr<TaskEnd> RunValidateTask(const engine::ValConfig& config, Rank& rank) {
  YOKE_ASSIGN_OR_RETURN(
      const engine::ValidationResult result,
      engine::RunValidation(config, rank.device, *rank.group, rank.observer, rank.stop));
  TaskEnd end;
  end.stopped = result.stopped;
  nlohmann::json classes = nlohmann::json::array();
  for (const engine::ClassMetrics& one : result.eval.per_class) classes.push_back(ClassJson(one));
  nlohmann::json members = nlohmann::json::array();
  for (const engine::MemberResult& member : result.members) {
    members.push_back({{"model", member.model},
                       {"weight", member.weight},
                       {"metrics", MetricsJson(member.eval.metrics)}});
  }
  end.result["val"] = {{"metrics", MetricsJson(result.eval.metrics)},
                       {"metricsClassic", MetricsJson(result.eval.metrics_classic)},
                       {"perClass", std::move(classes)},
                       {"imagesPerSecond", result.images_per_second},
                       {"images", result.eval.images},
                       {"instances", result.eval.instances},
                       {"runDir", config.run_dir},
                       {"members", std::move(members)}};
  if (result.coco) end.result["val"]["coco"] = CocoJson(*result.coco);
  return end;
}

}  // namespace yoke::worker

#include "server/engine/eval/ensemble.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"

namespace yoke::engine {
namespace {

constexpr double kSigma = 0.5;  // of the Gaussian that soft suppression lowers confidences by

struct Candidate {
  double x1, y1, x2, y2;
  double confidence;  // weighted
  int class_id;
};

double Area(const Candidate& a) { return (a.x2 - a.x1) * (a.y2 - a.y1); }

double Iou(const Candidate& a, const Candidate& b) {
  const double w = std::min(a.x2, b.x2) - std::max(a.x1, b.x1);
  const double h = std::min(a.y2, b.y2) - std::max(a.y1, b.y1);
  if (w <= 0 || h <= 0) return 0;
  return w * h / (Area(a) + Area(b) - w * h);
}

bool MoreConfident(const Candidate& a, const Candidate& b) { return a.confidence > b.confidence; }

// All members' boxes by class (agnostic: as one), each list by falling weighted confidence.
std::map<int, std::vector<Candidate>> Pool(const std::vector<std::vector<Detection>>& members,
                                           const EnsembleOptions& options) {
  std::map<int, std::vector<Candidate>> pool;
  for (size_t m = 0; m < members.size(); ++m) {
    const double weight = options.weights[m];
    if (weight <= 0) continue;
    for (const Detection& d : members[m]) {
      if (d.x2 <= d.x1 || d.y2 <= d.y1 || d.confidence <= 0) continue;
      pool[options.agnostic ? 0 : d.class_id].push_back(
          {d.x1, d.y1, d.x2, d.y2, d.confidence * weight, d.class_id});
    }
  }
  for (auto& [key, candidates] : pool)
    std::stable_sort(candidates.begin(), candidates.end(), MoreConfident);
  return pool;
}

std::vector<Candidate> Suppress(const std::vector<Candidate>& candidates, double iou) {
  std::vector<Candidate> kept;
  for (const Candidate& candidate : candidates) {
    if (std::none_of(kept.begin(), kept.end(),
                     [&](const Candidate& other) { return Iou(candidate, other) > iou; })) {
      kept.push_back(candidate);
    }
  }
  return kept;
}

// Each box lowers those less confident that overlap it; those at `least` or below it are dropped.
std::vector<Candidate> SoftSuppress(std::vector<Candidate> left, double least) {
  std::vector<Candidate> kept;
  while (!left.empty()) {
    const auto best = std::min_element(left.begin(), left.end(), MoreConfident);
    const Candidate chosen = *best;
    if (chosen.confidence <= least) break;
    kept.push_back(chosen);
    left.erase(best);
    for (Candidate& other : left) {
      const double iou = Iou(chosen, other);
      if (iou > 0) other.confidence *= std::exp(-iou * iou / kSigma);
    }
  }
  return kept;
}

// Boxes taken for one object, and what they come to.
class Cluster {
 public:
  explicit Cluster(const Candidate& first) : fused_(first) { Add(first); }

  void Add(const Candidate& box) {
    x1_ += box.x1 * box.confidence;
    y1_ += box.y1 * box.confidence;
    x2_ += box.x2 * box.confidence;
    y2_ += box.y2 * box.confidence;
    confidence_ += box.confidence;
    ++count_;
    if (count_ == 1) return;
    fused_.x1 = x1_ / confidence_;
    fused_.y1 = y1_ / confidence_;
    fused_.x2 = x2_ / confidence_;
    fused_.y2 = y2_ / confidence_;
    fused_.confidence = confidence_ / static_cast<double>(count_);
  }
  const Candidate& fused() const { return fused_; }
  size_t count() const { return count_; }

 private:
  Candidate fused_;
  double x1_ = 0, y1_ = 0, x2_ = 0, y2_ = 0, confidence_ = 0;
  size_t count_ = 0;
};

// The members that know a class: how many, and their weights together.
struct Electorate {
  size_t members = 0;
  double weight = 0;
};

Electorate ElectorateOf(int class_id, const EnsembleOptions& options) {
  Electorate electorate;
  for (size_t m = 0; m < options.weights.size(); ++m) {
    const bool knows =
        options.knows.empty() || options.knows[m][static_cast<size_t>(class_id)] != 0;
    if (!knows || options.weights[m] <= 0) continue;
    ++electorate.members;
    electorate.weight += options.weights[m];
  }
  return electorate;
}

std::vector<Candidate> FuseBoxes(const std::vector<Candidate>& candidates,
                                 const EnsembleOptions& options) {
  std::vector<Cluster> clusters;
  for (const Candidate& candidate : candidates) {
    Cluster* nearest = nullptr;
    double nearest_iou = options.iou;
    for (Cluster& cluster : clusters) {
      const double iou = Iou(cluster.fused(), candidate);
      if (iou > nearest_iou) nearest = &cluster, nearest_iou = iou;
    }
    if (nearest != nullptr) {
      nearest->Add(candidate);
    } else {
      clusters.emplace_back(candidate);
    }
  }
  std::vector<Candidate> fused;
  for (const Cluster& cluster : clusters) {
    fused.push_back(cluster.fused());
    const Electorate electorate = ElectorateOf(fused.back().class_id, options);
    fused.back().confidence *=
        static_cast<double>(std::min(electorate.members, cluster.count())) / electorate.weight;
  }
  return fused;
}

}  // namespace

absl::StatusOr<EnsembleOptions> ResolveEnsemble(const EnsembleConfig& config, size_t models) {
  EnsembleOptions options;
  if (config.method == "nms") {
    options.method = EnsembleOptions::kNms;
  } else if (config.method == "soft_nms") {
    options.method = EnsembleOptions::kSoftNms;
  } else if (config.method != "wbf") {
    return absl::InvalidArgumentError(
        absl::StrCat("ensemble=", config.method, " is unknown; use nms, soft_nms or wbf"));
  }
  options.iou = config.iou;
  options.weights = config.weights.empty() ? std::vector<double>(models, 1.0) : config.weights;
  if (options.weights.size() != models) {
    return absl::InvalidArgumentError(
        absl::StrCat("weights: ", options.weights.size(), " numbers for ", models, " models"));
  }
  double sum = 0;
  for (const double weight : options.weights) {
    if (!std::isfinite(weight) || weight < 0)
      return absl::InvalidArgumentError(absl::StrCat("weights: ", weight, " is not 0 or more"));
    sum += weight;
  }
  if (sum > 0) return options;
  return absl::InvalidArgumentError("weights: all are 0, so no model counts; raise one");
}

std::vector<std::vector<char>> KnownClasses(const std::vector<ClassMap>& maps, size_t classes) {
  std::vector<std::vector<char>> knows;
  for (const ClassMap& map : maps) {
    std::vector<char>& known = knows.emplace_back(classes, 0);
    for (const int id : map) {
      if (id >= 0) known[static_cast<size_t>(id)] = 1;
    }
  }
  return knows;
}

double MemberConfidence(const EnsembleOptions& options, double conf) {
  return options.method == EnsembleOptions::kWeightedBoxes
             ? conf / static_cast<double>(options.weights.size())
             : conf;
}

std::vector<Detection> Fuse(const std::vector<std::vector<Detection>>& members,
                            const EnsembleOptions& options) {
  const bool by_boxes = options.method == EnsembleOptions::kWeightedBoxes;
  const double scale =
      by_boxes ? 1 : 1 / *std::max_element(options.weights.begin(), options.weights.end());
  std::vector<Candidate> all;
  for (const auto& [key, candidates] : Pool(members, options)) {
    std::vector<Candidate> fused;
    switch (options.method) {
      case EnsembleOptions::kNms:
        fused = Suppress(candidates, options.iou);
        break;
      case EnsembleOptions::kSoftNms:
        fused = SoftSuppress(candidates, options.conf / scale);
        break;
      case EnsembleOptions::kWeightedBoxes:
        fused = FuseBoxes(candidates, options);
        break;
    }
    all.insert(all.end(), fused.begin(), fused.end());
  }
  std::stable_sort(all.begin(), all.end(), MoreConfident);
  std::vector<Detection> detections;
  for (const Candidate& one : all) {
    const auto confidence = static_cast<float>(one.confidence * scale);
    if (confidence <= static_cast<float>(options.conf) ||
        static_cast<int>(detections.size()) >= options.max_det) {
      break;
    }
    detections.push_back({static_cast<float>(one.x1), static_cast<float>(one.y1),
                          static_cast<float>(one.x2), static_cast<float>(one.y2), confidence,
                          one.class_id});
  }
  return detections;
}

}  // namespace yoke::engine

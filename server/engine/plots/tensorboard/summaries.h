// What TensorBoard's dashboards read, as values of a tensorflow.Summary: each with the
// SummaryMetadata that says which dashboard it is for and what class of data it is. Messages and
// field numbers: tensorboard 2.20, compat/proto and plugins/*/.
#pragma once

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/types/span.h"
#include "server/engine/plots/picture.h"
#include "server/engine/plots/tensorboard/wire_message.h"

namespace yoke::engine {

// tensorflow.Summary of values as the functions below make them.
WireMessage SummaryOf(absl::Span<const WireMessage> values);

// Scalars: a simple_value, which every reader knows.
WireMessage ScalarValue(const std::string& tag, double value);

// Images: one picture.
WireMessage ImageValue(const std::string& tag, const Picture& picture);

// PR curves: at equally spaced thresholds from 0 to 1, all lists equally long.
struct ThresholdCurve {
  std::vector<float> true_positives, false_positives, false_negatives;  // counts
  std::vector<float> precision, recall;
};
WireMessage ThresholdCurveValue(const std::string& tag, const ThresholdCurve& curve);

// HParams: what a run was started with, and which scalars tell how well it went.
using HyperParameter = std::variant<bool, double, std::string>;
using HyperParameters = std::vector<std::pair<std::string, HyperParameter>>;
WireMessage ExperimentValue(const HyperParameters& parameters,
                            absl::Span<const std::string> metric_tags);
WireMessage SessionStartValue(const HyperParameters& parameters);
WireMessage SessionEndValue(bool succeeded);

// Custom scalars: which tags (regular expressions, matched at the tag's beginning) share a graph.
struct Graph {
  std::string title;
  std::vector<std::string> tags;
};
using GraphCategory = std::pair<std::string, std::vector<Graph>>;  // its title, its graphs
WireMessage LayoutValue(absl::Span<const GraphCategory> categories);

}  // namespace yoke::engine

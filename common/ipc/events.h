// events.jsonl: one JSON object a line, {"seq":N,"time":"RFC 3339","rank":K,"type":"…", …fields}.
// Types and their fields (names as the API's JSON has them):
//   phase      phase
//   banner     lines[]
//   progress   done, total, unit
//   step       epoch, iteration, iterations, boxLoss, clsLoss, dflLoss, lr, imagesPerSecond, instances, imageSize
//   epoch      epoch, epochs, boxLoss, clsLoss, dflLoss, valBoxLoss, valClsLoss, valDflLoss, precision, recall,
//              map50, map5095, fitness, lr[], seconds, imagesPerSecond
//   checkpoint epoch, path, kind
//   warning    message
//   error      reason (JobReason.Code name), message
//   result     train | val | label | process | selftest: the API's JobResult member as JSON
// A torn last line is not an event. One file and one seq per rank and attempt, seq from 1.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace yoke::ipc {

// Appends events with one write() each. Thread-safe. Append errors are returned and change nothing:
// the next event continues the sequence.
class EventWriter {
 public:
  // Creates or continues the file (the sequence continues after the last whole line; a torn one is cut).
  static absl::StatusOr<std::unique_ptr<EventWriter>> Open(const std::string& path, int rank);
  virtual ~EventWriter() = default;
  virtual absl::Status Append(std::string_view type, nlohmann::json fields) = 0;
  // Durable up to here (called at each epoch).
  virtual absl::Status Sync() = 0;
};

struct ParsedEvent {
  int64_t seq = 0;
  std::string time;
  int rank = 0;
  std::string type;
  nlohmann::json fields;  // without the four above
};
// One line without its newline. InvalidArgument for anything that is not an event.
absl::StatusOr<ParsedEvent> ParseEvent(std::string_view line);

}  // namespace yoke::ipc

// exit.json, even on a full disk: room for it is set aside beside the first processes.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "common/ipc/attempt_files.h"

namespace yoke::shim {

class ExitWriter {
 public:
  explicit ExitWriter(std::string attempt_dir);
  // Sets room aside, as well as the disk allows.
  void Reserve() const;

  // Gives the room back and writes the record; while the disk is full, again and again for at most
  // `patience_seconds`.
  absl::Status Write(const ipc::ExitRecord& record, double patience_seconds);

 private:
  const std::string path_;
  const std::string reserve_;
};

}  // namespace yoke::shim

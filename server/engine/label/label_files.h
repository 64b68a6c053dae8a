// The files the label task writes: one txt per image, and the names of the classes beside them.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "server/engine/data/image.h"
#include "server/engine/eval/detection.h"

namespace yoke::engine {

// `class cx cy w h [confidence]` a line: norm, six decimals, in the order given. `detections_px`:
// in px of the photo, within it. Boxes without area are left out; `boxes` counts the lines.
std::string LabelText(const std::vector<Detection>& detections_px, ImageSize photo,
                      bool with_confidence, int64_t* boxes);

enum class Existing { kNothing, kLabels, kOther };
// What lies at `label_path`. kOther: something that is no YOLO label file, a caption for instance.
Existing WhatExists(const std::string& label_path);

// Replaces files in one step each: readers see the old bytes or the new ones. Not synced: after a
// power failure a file may be missing, and is then made again. One writer per thread.
class FileWriter {
 public:
  // `rank` keeps the temporary files of ranks apart.
  explicit FileWriter(int rank);
  // Makes the folder too. PermissionDenied, ResourceExhausted ...: why not, naming the path; the
  // temporary file is gone then.
  absl::Status Write(const std::string& path, std::string_view bytes);

 private:
  const std::string temporary_name_;
  std::set<std::string> folders_;  // made or seen
};

// InvalidArgument, naming the file: classes.txt, or a data.yaml of an earlier labelling, lists
// other classes there. Our own give way where `overwrite` is set, those of others never.
absl::Status CheckClassNames(const std::string& out, const std::vector<std::string>& names,
                             bool overwrite);

// Writes classes.txt and data.yaml into `out`; a data.yaml of somebody else stays. Errors also as
// CheckClassNames.
absl::Status WriteClassNames(const std::string& out, const std::vector<std::string>& names,
                             bool overwrite, FileWriter& writer);

}  // namespace yoke::engine

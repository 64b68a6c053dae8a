// Paths as people type them -> paths as the server takes them: absolute, or a name it knows.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace yoke::cli {

struct PathContext {
  std::string cwd;          // absolute
  std::string home;         // for a leading "~/"; may be empty
  std::string weights_dir;  // $YOKE_WEIGHTS_DIR; may be empty
};
PathContext ProcessPathContext();

// What kind of path a key holds is told by its name:
//   out             made absolute; need not exist
//   model           a file; else yolov8[nsmlx].yaml stays a name and yolov8[nsmlx] becomes one; else a bare name
//                   is looked for in $YOKE_WEIGHTS_DIR
//   data            a YAML file, NAME for NAME.yaml, or a folder with one YAML: the YAML's path
//   resume          a file or folder; else a job's id stays as it is
//   anything else   a file or folder that exists
// "server:PATH" is PATH as written. NotFound and InvalidArgument name the key and say what to do.
absl::StatusOr<std::string> ResolvePath(const std::string& key, const std::string& text, const PathContext& context);

}  // namespace yoke::cli

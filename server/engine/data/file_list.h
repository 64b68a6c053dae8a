// Which image files a data set's sources hold, and where their labels lie.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace yoke::engine {

// The images under a folder, whatever depth, or those a .txt list names (one a line, relative to the list's
// folder), or the one image itself. Sorted. NotFound: no such source, or no image in it.
absl::StatusOr<std::vector<std::string>> ListImages(const std::string& source);

// All regular files under `folder` (links followed, loops cut), sorted, absolute if `folder` is.
absl::StatusOr<std::vector<std::string>> ListFiles(const std::string& folder);

// `.../images/sub/a.jpg` -> `.../labels/sub/a.txt`, by the last folder called images; without one, beside it.
std::string LabelPathOf(const std::string& image_path);

}  // namespace yoke::engine

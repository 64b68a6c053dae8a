// What lies in a raw folder: which image has which label file, in whatever arrangement they were left.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace yoke::engine {

struct RawImage {
  std::string path;        // absolute
  std::string relative;    // to the folder
  std::string label_path;  // absolute; empty: none was found
};

struct RawFolder {
  std::vector<RawImage> images;             // sorted by relative path
  std::vector<std::string> orphan_labels;   // relative paths of label files that belong to no image
  std::vector<std::string> names;           // of classes.txt, else of a data set YAML at the top; else empty
};

// A label file has its image's stem and lies beside it, or in a labels folder that mirrors the images' folders:
// images/a/1.jpg has labels/a/1.txt or images/a/labels/1.txt, photos/1.jpg has labels/1.txt or
// labels/photos/1.txt. Names that begin with a dot are left alone. NotFound: no such folder, or no image in it.
absl::StatusOr<RawFolder> ReadRawFolder(const std::string& folder);

}  // namespace yoke::engine

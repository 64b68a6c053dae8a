// A data set as YAML describes it and as its folders hold it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace yoke::engine {

struct DataYaml {
  std::string yaml_path;  // absolute
  std::string root;       // absolute; `path:` resolved against the YAML's folder
  std::vector<std::string> train, val, test;  // absolute folders, .txt lists or images
  std::vector<std::string> names;             // class id -> name
};

// Never runs a `download:` entry. Errors name file, line where known, and what to do.
absl::StatusOr<DataYaml> ReadDataYaml(const std::string& path);

struct Label {
  int class_id = 0;
  float x = 0, y = 0, w = 0, h = 0;  // centre and size, norm
};

struct Sample {
  std::string image_path;
  int width = 0, height = 0;  // px, EXIF orientation applied
  std::vector<Label> labels;  // empty: background
  // Outlines of all objects, in one array for an image has many: corners x, y, x, y ... norm. Label
  // i's end before corner polygon_ends[i] and begin where those of label i - 1 end. Both empty: the
  // set has boxes only.
  std::vector<float> polygon_xy;
  std::vector<uint32_t> polygon_ends;

  // The corners of label i's outline; empty if there is none.
  absl::Span<const float> Polygon(size_t i) const {
    if (polygon_ends.empty()) return {};
    const size_t begin = i == 0 ? 0 : polygon_ends[i - 1];
    return absl::MakeConstSpan(polygon_xy).subspan(2 * begin, 2 * (polygon_ends[i] - begin));
  }
};

struct ScanOptions {
  int class_count = 0;
  bool single_cls = false;
  bool skip_bad =
      false;  // on_bad_label=skip: drop the image and warn; else the first error ends the scan
  double fraction = 1.0;
  bool fraction_random = false;  // a part drawn by `seed`, not the first images
  uint64_t seed = 0;
  bool polygons = false;  // keep outlines: augmentation uses them, nothing else does
  std::string cache_dir;  // label cache, keyed by content; empty: none
  int threads = 2;
  std::function<void(int64_t done, int64_t total)>
      progress;  // both called from the caller's thread only
  std::function<void(const std::string&)> warn;
};

struct Split {
  std::vector<Sample> samples;  // sorted by path
  int64_t labelled = 0;         // images with at least one box
  int64_t background = 0;       // images without boxes
  int64_t missing_labels = 0;   // images without a label file (they are backgrounds)
  int64_t corrupt = 0;          // images or labels skipped
  int64_t boxes = 0;
  int64_t polygons_unused = 0;        // outlines left out because other boxes of the set have none
  std::vector<std::string> problems;  // one sentence each, at most 1000
};

// Lists the images of `sources`, finds labels (…/images/… -> …/labels/…, .txt), verifies both.
// Label rules: 5 columns (or a polygon: its bounding box), finite, 0..1, class < class_count;
// duplicates dropped. Errors are "FILE:LINE: what; what to do". A corrupt image is counted, named
// and left out. Outlines are kept if every box of the split has one; else none is, with a warning
// (the reference's rule). NotFound: no images at all, naming the folder.
absl::StatusOr<Split> ScanSplit(const std::vector<std::string>& sources,
                                const ScanOptions& options);

}  // namespace yoke::engine

// Any bytes as a zip archive: every entry lies inside and has its checksum, or there is a refusal.
#include "common/formats/zip_reader.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto zip = yoke::formats::ZipReader::Open({data, size});
  if (!zip.ok()) {
    yoke::fuzz::CheckRefusal(zip.status());
    return 0;
  }
  for (const std::string& name : zip->names()) {
    const auto entry = zip->Read(name);
    if (entry.ok()) {
      yoke::fuzz::Touch(*entry);
    } else {
      YOKE_CHECK(absl::IsDataLoss(entry.status()));
      yoke::fuzz::CheckRefusal(entry.status());
    }
  }
  YOKE_CHECK(!zip->Contains("") && absl::IsNotFound(zip->Read("").status()));
  return 0;
}

#include "server/engine/plots/class_name.h"

#include "absl/strings/str_cat.h"

namespace yoke::engine {

std::string ShownName(const Font& font, const std::string& name, int64_t class_id) {
  if (name.empty()) return absl::StrCat("class ", class_id);
  return font.Shows(name) ? name : absl::StrCat(name, " #", class_id);
}

std::string ShownName(const Font& font, const std::vector<std::string>& names, int64_t class_id) {
  const bool known = class_id >= 0 && class_id < static_cast<int64_t>(names.size());
  return ShownName(font, known ? names[class_id] : std::string(), class_id);
}

}  // namespace yoke::engine

// Any bytes as a pickle: a tree with no name outside the list, or a refusal.
#include "common/formats/pickle.h"

#include <set>
#include <vector>

#include "tests/fuzz/fuzz.h"

using yoke::formats::PickleNode;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto tree = yoke::formats::Unpickle({data, size});
  if (!tree.ok()) {
    yoke::fuzz::CheckRefusal(tree.status());
    return 0;
  }
  std::set<const PickleNode*> seen;
  std::vector<const PickleNode*> waiting = {&tree->root()};
  while (!waiting.empty()) {
    const PickleNode* node = waiting.back();
    waiting.pop_back();
    if (node == nullptr || !seen.insert(node).second) continue;
    if (node->kind == PickleNode::Kind::kGlobal)
      YOKE_CHECK_MSG(yoke::formats::IsAllowedGlobal(node->text), node->text);
    if (node->kind == PickleNode::Kind::kObject)
      YOKE_CHECK(node->args != nullptr && node->args->kind == PickleNode::Kind::kTuple);
    node->class_name();
    node->Find("names");
    waiting.insert(waiting.end(), node->items.begin(), node->items.end());
    for (const auto& [key, value] : node->entries) waiting.insert(waiting.end(), {key, value});
    waiting.insert(waiting.end(), {node->callable, node->args, node->state});
  }
  return 0;
}

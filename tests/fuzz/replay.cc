// Runs a target on every file of the folders given, without libFuzzer: each build checks the
// corpus.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz.h"

int main(int argc, char** argv) {
  int count = 0;
  for (int i = 1; i < argc; ++i) {
    for (const auto& file : std::filesystem::directory_iterator(argv[i])) {
      std::ifstream stream(file.path(), std::ios::binary);
      const std::string text(std::istreambuf_iterator<char>(stream), {});
      // Memory of exactly that size, so that a sanitizer sees a read behind its end.
      const std::vector<uint8_t> bytes(text.begin(), text.end());
      std::cerr << file.path().filename().string() << " "
                << std::flush;  // the last one, on a crash
      LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
      ++count;
    }
  }
  std::cerr << "\n" << count << " inputs\n";
  return count > 0 ? 0 : 1;
}

#include <cstring>

#include "absl/strings/str_cat.h"
#include "caffe2/serialize/inline_container.h"
#include "server/engine/checkpoint/atomic_file.h"
#include "server/engine/checkpoint/torch_archive.h"

namespace yoke::engine {
namespace {

// Emits protocol 2 opcodes (see Python's pickletools) for dicts of text, integers and tensors.
class PickleWriter {
 public:
  PickleWriter() { text_ = "\x80\x02"; }

  void Opcode(char opcode) { text_ += opcode; }
  void Global(const char* module, const char* name) {
    absl::StrAppend(&text_, "c", module, "\n", name, "\n");
  }
  void Integer(int64_t value) {
    text_ += "\x8a\x08";
    Raw(value);
  }
  void Text(const std::string& value) {
    text_ += 'X';
    Raw(static_cast<uint32_t>(value.size()));
    text_ += value;
  }
  void Integers(c10::IntArrayRef values) {
    text_ += '(';
    for (int64_t value : values) Integer(value);
    text_ += 't';
  }
  // _rebuild_tensor_v2(storage, 0, size, stride, False, OrderedDict())
  void Tensor(const at::Tensor& tensor, const std::string& key) {
    Global("torch._utils", "_rebuild_tensor_v2");
    text_ += "((";
    Text("storage");
    Global("torch", StorageName(tensor.scalar_type()));
    Text(key);
    Text("cpu");
    Integer(tensor.numel());
    text_ += "tQ";
    Integer(0);
    Integers(tensor.sizes());
    Integers(tensor.strides());
    text_ += '\x89';
    Global("collections", "OrderedDict");
    text_ += ")RtR";
  }
  const std::string& Finish() {
    text_ += '.';
    return text_;
  }

 private:
  template <typename T>
  void Raw(T value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  static const char* StorageName(at::ScalarType type) {
    switch (type) {
      case at::kHalf:
        return "HalfStorage";
      case at::kLong:
        return "LongStorage";
      default:
        return "FloatStorage";
    }
  }
  std::string text_;
};

}  // namespace

absl::Status WriteTorchDict(const std::string& path,
                            const std::vector<std::pair<std::string, TorchValue>>& values) {
  PickleWriter pickle;
  std::vector<at::Tensor> storages;
  pickle.Opcode('}');
  for (const auto& [name, value] : values) {
    pickle.Text(name);
    if (!value.tensors.empty()) {
      pickle.Opcode('}');
      for (const auto& [key, tensor] : value.tensors) {
        const at::ScalarType type = tensor.scalar_type();
        const at::Tensor plain =
            (type == at::kHalf || type == at::kLong ? tensor : tensor.to(at::kFloat))
                .cpu()
                .contiguous();
        pickle.Text(key);
        pickle.Tensor(plain, absl::StrCat(storages.size()));
        pickle.Opcode('s');
        storages.push_back(plain);
      }
    } else if (!value.names.empty()) {
      pickle.Opcode('}');
      for (const auto& [key, text] : value.names) {
        pickle.Integer(key);
        pickle.Text(text);
        pickle.Opcode('s');
      }
    } else if (value.is_integer) {
      pickle.Integer(value.integer);
    } else {
      pickle.Text(value.text);
    }
    pickle.Opcode('s');
  }
  const std::string& bytes = pickle.Finish();

  AtomicFile file(path);
  try {
    caffe2::serialize::PyTorchStreamWriter zip([&file](const void* data, size_t size) {
      file.Write(data, size);
      return size;
    });
    zip.writeRecord("data.pkl", bytes.data(), bytes.size());
    zip.writeRecord("byteorder", "little", std::strlen("little"));
    for (size_t i = 0; i < storages.size(); ++i) {
      zip.writeRecord(absl::StrCat("data/", i), storages[i].data_ptr(), storages[i].nbytes());
    }
    zip.writeEndOfFile();
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("cannot write ", path, ": ", error.what()));
  }
  return file.Commit();
}

}  // namespace yoke::engine

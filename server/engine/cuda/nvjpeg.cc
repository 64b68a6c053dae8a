#include "server/engine/cuda/nvjpeg.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/mutex.h"

namespace yoke::engine {
namespace {

// What is used of nvjpeg.h (CUDA 13), by its names there.
using Status = int;
constexpr Status kSuccess = 0;
constexpr int kBackendDefault = 0, kBackendHardware = 3;
constexpr int kOutputBgri = 6;  // bytes of blue, green, red, pixel by pixel
constexpr int kComponentsMax = 4;
using Handle = void*;
using State = void*;
struct Image {
  unsigned char* channel[kComponentsMax];
  size_t pitch[kComponentsMax];
};
struct Functions {
  Status (*CreateEx)(int backend, void* device_allocator, void* pinned_allocator, unsigned flags,
                     Handle* handle);
  Status (*JpegStateCreate)(Handle handle, State* state);
  Status (*JpegStateDestroy)(State state);
  Status (*GetImageInfo)(Handle handle, const unsigned char* data, size_t length, int* components,
                         int* subsampling, int* widths, int* heights);
  Status (*Decode)(Handle handle, State state, const unsigned char* data, size_t length, int output,
                   Image* destination, cudaStream_t stream);
  Status (*DecodeBatchedInitialize)(Handle handle, State state, int batch, int threads, int output);
  Status (*DecodeBatched)(Handle handle, State state, const unsigned char* const* data,
                          const size_t* lengths, Image* destinations, cudaStream_t stream);
};

absl::Status Load(Functions& functions) {
  void* const library = dlopen("libnvjpeg.so.13", RTLD_NOW);
  if (library == nullptr) return absl::FailedPreconditionError(dlerror());
  bool all = true;
  const auto find = [&](const char* name, auto& function) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(
        dlsym(library, absl::StrCat("nvjpeg", name).c_str()));
    all = all && function != nullptr;
  };
  find("CreateEx", functions.CreateEx);
  find("JpegStateCreate", functions.JpegStateCreate);
  find("JpegStateDestroy", functions.JpegStateDestroy);
  find("GetImageInfo", functions.GetImageInfo);
  find("Decode", functions.Decode);
  find("DecodeBatchedInitialize", functions.DecodeBatchedInitialize);
  find("DecodeBatched", functions.DecodeBatched);
  return all ? absl::OkStatus() : absl::FailedPreconditionError("libnvjpeg.so.13 lacks a function");
}

// What one thread decodes with, one image at a time. Kept for the process's life, as the device is.
struct Lane {
  cudaStream_t stream = nullptr;
  State by_decoder = nullptr, by_cores = nullptr;  // null: not possible
  unsigned char* pixels = nullptr;                 // on the device
  size_t capacity = 0;
};

class NvJpegDecoder : public JpegDecoder {
 public:
  NvJpegDecoder(const Functions& functions, int index) : nvjpeg_(functions), index_(index) {}

  absl::Status Open() {
    // Not every GPU has decoders.
    if (nvjpeg_.CreateEx(kBackendHardware, nullptr, nullptr, 0, &decoders_) != kSuccess)
      decoders_ = nullptr;
    const Status status = nvjpeg_.CreateEx(kBackendDefault, nullptr, nullptr, 0, &cores_);
    if (status == kSuccess) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat("nvjpegCreateEx gives ", status));
  }

  bool Decode(const uint8_t* bytes, size_t count, int width, int height, uint8_t* bgr) override {
    int components = 0, subsampling = 0, widths[kComponentsMax] = {}, heights[kComponentsMax] = {};
    if (nvjpeg_.GetImageInfo(cores_, bytes, count, &components, &subsampling, widths, heights) !=
            kSuccess ||
        (components != 1 && components != 3) || widths[0] != width || heights[0] != height ||
        !Done(cudaSetDevice(index_))) {
      return false;
    }
    Lane* const lane = Take();
    if (lane == nullptr) return false;
    const bool decoded = DecodeIn(*lane, bytes, count, width, height, bgr);
    MutexLock lock(mutex_);
    idle_.push_back(lane);
    return decoded;
  }

 private:
  // What a call that failed leaves behind is nobody else's.
  static bool Done(cudaError_t error) {
    if (error != cudaSuccess) cudaGetLastError();
    return error == cudaSuccess;
  }

  // For the first image, and after one that failed.
  void ResetDecoder(Lane& lane) {
    if (lane.by_decoder != nullptr && nvjpeg_.DecodeBatchedInitialize(decoders_, lane.by_decoder, 1,
                                                                      1, kOutputBgri) != kSuccess) {
      nvjpeg_.JpegStateDestroy(lane.by_decoder);
      lane.by_decoder = nullptr;
    }
  }

  // Null: no memory.
  Lane* Take() {
    {
      MutexLock lock(mutex_);
      if (!idle_.empty()) {
        Lane* const lane = idle_.back();
        idle_.pop_back();
        return lane;
      }
    }
    auto lane = std::make_unique<Lane>();
    if (!Done(cudaStreamCreateWithFlags(&lane->stream, cudaStreamNonBlocking))) return nullptr;
    if (nvjpeg_.JpegStateCreate(cores_, &lane->by_cores) != kSuccess) {
      cudaStreamDestroy(lane->stream);
      return nullptr;
    }
    if (decoders_ != nullptr && nvjpeg_.JpegStateCreate(decoders_, &lane->by_decoder) != kSuccess) {
      lane->by_decoder = nullptr;
    }
    ResetDecoder(*lane);
    return lane.release();
  }

  bool DecodeIn(Lane& lane, const uint8_t* bytes, size_t count, int width, int height,
                uint8_t* bgr) {
    const size_t row = 3 * static_cast<size_t>(width), size = row * static_cast<size_t>(height);
    if (lane.capacity < size) {
      cudaFree(lane.pixels);
      lane.pixels = nullptr;
      lane.capacity = 0;
      if (!Done(cudaMalloc(reinterpret_cast<void**>(&lane.pixels), size))) return false;
      lane.capacity = size;
    }
    Image image = {};
    image.channel[0] = lane.pixels;
    image.pitch[0] = row;
    // Should it say that it decoded what it left out, this image is not to look like the last one.
    if (!Done(cudaMemsetAsync(lane.pixels, 0, size, lane.stream))) return false;
    if (!DecodeByDecoder(lane, bytes, count, image) &&
        nvjpeg_.Decode(cores_, lane.by_cores, bytes, count, kOutputBgri, &image, lane.stream) !=
            kSuccess) {
      return false;
    }
    return Done(cudaMemcpyAsync(bgr, lane.pixels, size, cudaMemcpyDeviceToHost, lane.stream)) &&
           Done(cudaStreamSynchronize(lane.stream));
  }

  // Decoders take baseline JPEGs of the common kinds.
  bool DecodeByDecoder(Lane& lane, const uint8_t* bytes, size_t count, Image& image) {
    if (lane.by_decoder == nullptr) return false;
    const Status status =
        nvjpeg_.DecodeBatched(decoders_, lane.by_decoder, &bytes, &count, &image, lane.stream);
    if (status != kSuccess) ResetDecoder(lane);
    return status == kSuccess;
  }

  const Functions nvjpeg_;
  const int index_;
  Handle decoders_ = nullptr, cores_ = nullptr;  // decoders_ null: the GPU has none
  Mutex mutex_;
  std::vector<Lane*> idle_ YOKE_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<JpegDecoder>> MakeNvJpegDecoder(int index) {
  Functions functions = {};
  if (absl::Status status = Load(functions); !status.ok()) return status;
  if (const cudaError_t error = cudaSetDevice(index); error != cudaSuccess) {
    cudaGetLastError();
    return absl::FailedPreconditionError(cudaGetErrorString(error));
  }
  auto decoder = std::make_unique<NvJpegDecoder>(functions, index);
  if (absl::Status status = decoder->Open(); !status.ok()) return status;
  return decoder;
}

}  // namespace yoke::engine

#include "services/common/grpc/mesh_peer.h"

#include <utility>

namespace stockalert::rpc {

PeerOptions MeshPeer(const std::string& address, const Credentials& credentials, const std::string& mesh_token,
                     const MeshSettings& mesh, std::vector<std::string> retried) {
  return {.address = address,
          .credentials = credentials.internal_client(),
          .mesh_token = mesh_token,
          .caller_token = mesh.caller_token,
          .retried = std::move(retried)};
}

}  // namespace stockalert::rpc

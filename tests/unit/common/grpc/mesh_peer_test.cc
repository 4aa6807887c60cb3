#include "services/common/grpc/mesh_peer.h"

#include <catch2/catch.hpp>
#include <memory>

#include "services/common/tls/settings.h"

namespace stockalert::rpc {
namespace {

TEST_CASE("a peer of the mesh is called by what this service's flags give") {
  const auto credentials = Credentials::Create({.plaintext = true});
  REQUIRE(credentials.ok());
  MeshSettings mesh;
  mesh.caller_token = "its own";
  const PeerOptions options = MeshPeer("127.0.0.1:12052", **credentials, "the mesh's", mesh, {"a.v1.A/List", "b.v1.B"});
  CHECK(options.address == "127.0.0.1:12052");
  // For the internal port: no other channel's.
  CHECK(options.credentials != nullptr);
  CHECK(options.credentials == (*credentials)->internal_client());
  CHECK(options.mesh_token == "the mesh's");
  CHECK(options.caller_token == "its own");
  CHECK(options.retried == std::vector<std::string>{"a.v1.A/List", "b.v1.B"});
  CHECK(options.receive_bytes_max == PeerOptions().receive_bytes_max);
}

}  // namespace
}  // namespace stockalert::rpc

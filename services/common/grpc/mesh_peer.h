// How a service of the mesh calls another one: by what its own flags give it. Pure and thread-safe.
#pragma once

#include <string>
#include <vector>

#include "services/common/grpc/channel.h"
#include "services/common/grpc/credentials.h"
#include "services/common/grpc/mesh_callers.h"

namespace stockalert::rpc {

// `address`: the other's internal port. `mesh_token` and `mesh` as DeclareMesh found them; `retried` as of PeerOptions.
PeerOptions MeshPeer(const std::string& address, const Credentials& credentials, const std::string& mesh_token,
                     const MeshSettings& mesh, std::vector<std::string> retried);

}  // namespace stockalert::rpc

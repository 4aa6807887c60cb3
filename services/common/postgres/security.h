// The flag that says where the database is, the same in every program that has one, and what it refuses.
#pragma once

#include <string>

#include "services/common/config/parser.h"

namespace stockalert::postgres {

// Declares --postgres_url. Refused are a URL that libpq cannot read, one that leaves it open whether the connection is
// encrypted (sslmode absent, allow or prefer, all of which fall back to plaintext; a Unix socket needs none), and TLS
// files that are unfit.
void DeclareDatabase(config::Parser& parser, std::string& url);

}  // namespace stockalert::postgres

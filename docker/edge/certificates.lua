-- Takes over certificates and authorities whose files change, as the services do, and tells when the certificate ends. It looks every two seconds.
--
-- A certificate of the public ports: by HAProxy's own commands (set ssl cert, commit ssl cert), which exchange what new connections get; streams
-- go on. A pair that does not match is refused by HAProxy, told by the metric, and tried again when the files change again.
-- The authorities that the services are verified by: HAProxy 2.6 cannot exchange those in a running process, so the master is asked for a new
-- one, which takes over the ports at once; what runs in the old one has the grace of a stop to end.

local EVERY_MS = 2000
local run_dir = os.getenv("EDGE_RUN_DIR") or "/run/edge"
local admin_socket, master_socket = run_dir .. "/admin.sock", run_dir .. "/master.sock"

-- What is watched: `kind` is HAProxy's, `role` is the label of the services' metrics.
local watched = {}
local function watch(kind, role, path, key_path)
  if path and path ~= "" then
    table.insert(watched, {kind = kind, role = role, path = path, key_path = key_path, seen = nil, unusable = 0, expiry = nil})
  end
end
local certificate = os.getenv("EDGE_TLS_CERT_FILE")
watch("cert", "public_cert", certificate, certificate and certificate:gsub("%.crt$", ".key"))
watch("ca-file", "internal_ca", os.getenv("EDGE_BACKEND_CA_FILE"))

local function read(path)
  local file = io.open(path, "r")
  if not file then return nil end
  local text = file:read("a")
  file:close()
  return text
end

local function contents(item)
  local text = read(item.path)
  if text and item.key_path then
    local key = read(item.key_path)
    text = key and (text .. "\n" .. key)
  end
  -- A blank line would end what a command carries.
  return text and text:gsub("\r", ""):gsub("\n%s*\n+", "\n"):gsub("^\n+", "")
end

-- HAProxy's answer to one command, or nil.
local function command(text, socket_path)
  local tcp = core.tcp()
  tcp:settimeout(5)
  if not tcp:connect(socket_path or admin_socket) then return nil end
  tcp:send(text .. "\n")
  local answer = tcp:receive("*a")
  tcp:close()
  return answer
end

local months = {Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6, Jul = 7, Aug = 8, Sep = 9, Oct = 10, Nov = 11, Dec = 12}

-- Days since 1970 of a date (Howard Hinnant's way), since os.time is local time's.
local function days(year, month, day)
  if month <= 2 then year = year - 1 end
  local era = year // 400
  local of_era = year - era * 400
  local of_year = (153 * (month + (month > 2 and -3 or 9)) + 2) // 5 + day - 1
  return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
end

local function expiry(item)
  local answer = command("show ssl " .. item.kind .. " " .. item.path) or ""
  local first = nil
  for name, day, hour, minute, second, year in answer:gmatch("[Nn]ot ?[Aa]fter: (%a+) +(%d+) (%d+):(%d+):(%d+) (%d+)") do
    local at = days(tonumber(year), months[name] or 1, tonumber(day)) * 86400 + tonumber(hour) * 3600 + tonumber(minute) * 60 + tonumber(second)
    if not first or at < first then first = at end
  end
  return first
end

-- Whether a new process is taking over from this one: then that one looks at the files.
local replaced = false

local function take_over(item, text)
  if item.kind == "ca-file" then
    if not text:find("BEGIN CERTIFICATE") then return false end
    replaced = command("reload", master_socket) ~= nil
    return replaced
  end
  local answer = command("set ssl " .. item.kind .. " " .. item.path .. " <<\n" .. text .. "\n") or "no answer"
  if answer:find("ransaction created") or answer:find("ransaction updated") then
    answer = command("commit ssl " .. item.kind .. " " .. item.path) or "no answer"
    if answer:find("Success") then return true end
  end
  command("abort ssl " .. item.kind .. " " .. item.path)
  core.log(core.err, "the edge cannot use " .. item.path .. ": " .. answer:gsub("%s+", " "))
  return false
end

-- Before HAProxy itself reads them: a change in between is taken over once too often, never passed over.
for _, item in ipairs(watched) do item.seen = contents(item) end

core.register_task(function()
  for _, item in ipairs(watched) do item.expiry = expiry(item) end
  while not replaced do
    core.msleep(EVERY_MS)
    for _, item in ipairs(watched) do
      local text = contents(item)
      if not text then
        item.unusable = 1
      elseif text ~= item.seen then
        item.seen = text
        item.unusable = take_over(item, text) and 0 or 1
        item.expiry = expiry(item)
        if item.unusable == 0 then core.log(core.notice, "the edge uses the new " .. item.path) end
      end
    end
  end
end)

core.register_service("certificates", "http", function(applet)
  local lines = {
    "# HELP stockalert_tls_certificate_expiry_time_seconds When what is in use expires, in Unix time; of several certificates the first",
    "# TYPE stockalert_tls_certificate_expiry_time_seconds gauge"}
  for _, item in ipairs(watched) do
    if item.expiry then
      table.insert(lines, string.format('stockalert_tls_certificate_expiry_time_seconds{file_role="%s"} %d', item.role, item.expiry))
    end
  end
  table.insert(lines, "# HELP stockalert_tls_files_unusable 1 while the files that lie there are unfit")
  table.insert(lines, "# TYPE stockalert_tls_files_unusable gauge")
  for _, item in ipairs(watched) do
    table.insert(lines, string.format('stockalert_tls_files_unusable{file_role="%s"} %d', item.role, item.unusable))
  end
  local body = table.concat(lines, "\n") .. "\n"
  applet:set_status(200)
  applet:add_header("content-type", "text/plain; version=0.0.4")
  applet:add_header("content-length", tostring(#body))
  applet:start_response()
  applet:send(body)
end)

-- Asks the gateway about each request. Needs mod_lua and LuaSocket (Debian: lua-socket).
local http = require 'socket.http'
local ltn12 = require 'ltn12'

local GATEWAY = 'http://127.0.0.1:9000/auth/apache'
local NAMES = { 'user', 'name', 'tenant', 'scopes', 'roles', 'app', 'session', 'acrs', 'assertion' }
local PASSED = { 'authorization', 'dpop', 'origin', 'access-control-request-method', 'x-forwarded-for' }

http.TIMEOUT = 2

function check(r)
  if r.is_initial_req == false then return apache2.DECLINED end
  local forwarded = r.headers_in['X-Forwarded-For']
  local headers = {
    ['x-original-method'] = r.method,
    ['x-original-uri'] = r.unparsed_uri,
    ['x-original-host'] = r.headers_in['Host'],
    ['x-forwarded-proto'] = r.is_https and 'https' or 'http',
  }
  for _, name in ipairs(PASSED) do headers[name] = r.headers_in[name] end
  headers['x-forwarded-for'] = (forwarded and forwarded .. ', ' or '') .. r.useragent_ip

  local body = {}
  local ok, status, answer = http.request { url = GATEWAY, headers = headers, sink = ltn12.sink.table(body), redirect = false }
  if not ok then return 503 end
  if status == 200 then
    -- Every one, always: one that is left out is the client's own. caegis_user would be caegis-user to many applications.
    for _, name in ipairs(NAMES) do
      r.headers_in['caegis_' .. name] = nil
      r.headers_in['caegis-' .. name] = answer['caegis-' .. name] or ''
    end
    return apache2.OK
  end
  r.err_headers_out['WWW-Authenticate'] = answer['www-authenticate']
  r.err_headers_out['DPoP-Nonce'] = answer['dpop-nonce']
  r.err_headers_out['Access-Control-Expose-Headers'] = answer['access-control-expose-headers']
  if status == 401 or status == 403 or status == 503 then return status end
  return 500
end

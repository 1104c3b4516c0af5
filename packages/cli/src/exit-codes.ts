import { CaegisError } from '@caegis/protocol'

/** What the command ends with. Scripts rely on these: they only ever become more. */
export const EXIT = {
  ok: { code: 0, means: 'It is done, or there was nothing to do.' },
  failed: { code: 1, means: 'It failed, or the answer is no: a case of `policy test` does not hold, `doctor` found what does not work.' },
  usage: { code: 2, means: 'The command line, a setting or a file says what cannot be.' },
  notSignedIn: { code: 3, means: 'Nobody is signed in, not to this tenant, or not any more.' },
  refused: { code: 4, means: 'The server refuses: whoever is signed in may not do this.' },
  notFound: { code: 5, means: 'There is nothing of that name.' },
  conflict: { code: 6, means: 'It is there already, in use, or was changed meanwhile: look again.' },
  unreachable: { code: 7, means: 'No server answers, it is busy, or it is not known to be the right one (its certificate).' },
  unconfirmed: { code: 8, means: 'Nobody was there to confirm, or it was not confirmed: nothing was done.' },
} as const

export type Exit = keyof typeof EXIT

/** By the code of a CaegisError, of this command or of the server that it runs. */
const BY_CODE: Record<string, Exit> = {
  ...{
    not_signed_in: 'notSignedIn',
    client_refused: 'notSignedIn',
    other_origin: 'unreachable',
    other_tenant: 'notSignedIn',
    tenant_stopped: 'refused',
  },
  ...{
    not_found: 'notFound',
    unknown_tenant: 'notFound',
    unknown_policy: 'notFound',
    tenant_not_found: 'notFound',
    no_data: 'notFound',
    no_backup: 'notFound',
  },
  ...{
    data_in_use: 'conflict',
    data_moved: 'conflict',
    data_outdated: 'conflict',
    data_exists: 'conflict',
    backup_exists: 'conflict',
    database_not_empty: 'conflict',
    database_unreachable: 'unreachable',
  },
  ...{ not_confirmed: 'unconfirmed', tenant_exists: 'conflict', changed_meanwhile: 'conflict' },
  ...{ token_in_sight: 'usage', no_token: 'usage', invalid_cases: 'usage', invalid_gateway: 'usage', invalid_routes: 'usage', invalid_file: 'usage' },
  ...{
    invalid_settings: 'usage',
    invalid_credentials: 'usage',
    wrong_key_secret: 'usage',
    invalid_backup: 'usage',
    invalid_tenant_file: 'usage',
    invalid_ldap_config: 'usage',
    invalid_policy: 'usage',
    invalid_location: 'usage',
  },
}

/** By the status of an answer of the admin API. */
const BY_STATUS: Record<number, Exit> = {
  ...{ 400: 'usage', 401: 'notSignedIn', 403: 'refused', 404: 'notFound', 409: 'conflict', 412: 'conflict', 413: 'usage' },
  ...{ 429: 'unreachable', 502: 'unreachable', 503: 'unreachable', 504: 'unreachable' },
}

/** Of connections and certificates, as Node names them. */
const NETWORK =
  /^(ECONN|ENOTFOUND|EAI_|ETIMEDOUT|EHOST|ENET|EPIPE|UND_ERR_|CERT_|ERR_TLS|ERR_SSL|DEPTH_ZERO|UNABLE_TO|SELF_SIGNED)|^(network_error|endpoints_resolution_error|openid_config_error)$/

export function exitCodeOf(error: unknown): number {
  return EXIT[exitOf(error)].code
}

function exitOf(error: unknown): Exit {
  if (error instanceof CaegisError) {
    const { status } = (error.detail ?? {}) as { status?: number }
    return BY_CODE[error.code] ?? (status === undefined ? undefined : BY_STATUS[status]) ?? 'failed'
  }
  const { name = '', code, errorCode, syscall, cause } = (error ?? {}) as Record<string, unknown> & { name?: string; cause?: { code?: unknown } }
  const reason = String(code ?? cause?.code ?? errorCode ?? '')
  // A file that was named, and is not there.
  if (syscall === 'open') return 'usage'
  if (NETWORK.test(reason)) return 'unreachable'
  // What else MSAL has to say is about the sign-in.
  return typeof errorCode === 'string' && /AuthError$|ServerError$/.test(name) ? 'notSignedIn' : 'failed'
}

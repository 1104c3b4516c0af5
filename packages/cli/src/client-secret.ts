import { readFileSync } from 'node:fs'
import { CaegisError } from '@caegis/protocol'
import { CLI_ERRORS } from './errors.ts'

/**
 * An application's secret out of the environment: `CAEGIS_CLIENT_SECRET`, or what is in the file that `CAEGIS_CLIENT_SECRET_FILE` names; `undefined` where neither is set.
 * @throws CaegisError `invalid_credentials`
 */
export function clientSecretOf({ CAEGIS_CLIENT_SECRET: direct, CAEGIS_CLIENT_SECRET_FILE: file }: NodeJS.ProcessEnv): string | undefined {
  if (direct !== undefined && file !== undefined) throw invalid('CAEGIS_CLIENT_SECRET and CAEGIS_CLIENT_SECRET_FILE exclude each other')
  const secret = file === undefined ? direct : read(file)
  if (secret === '') throw invalid(`${file === undefined ? 'CAEGIS_CLIENT_SECRET' : file} is empty`)
  return secret
}

/**
 * Whom scripts sign in as; `undefined` where the environment names nobody.
 * @throws CaegisError `invalid_credentials` where it names one half: whoever signed in last here must not stand in for a daemon
 */
export function daemonOf(env: NodeJS.ProcessEnv): { clientId: string; clientSecret: string } | undefined {
  const clientId = env.CAEGIS_CLIENT_ID
  const clientSecret = clientSecretOf(env)
  if (!clientId && clientSecret === undefined) return undefined
  if (!clientId) throw invalid('there is a secret, and no CAEGIS_CLIENT_ID that it would be of')
  if (clientSecret === undefined) throw invalid('CAEGIS_CLIENT_ID needs CAEGIS_CLIENT_SECRET or CAEGIS_CLIENT_SECRET_FILE')
  return { clientId, clientSecret }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    throw invalid(`${file} cannot be read`)
  }
}

function invalid(text: string): CaegisError {
  return new CaegisError('invalid_credentials', `${CLI_ERRORS.invalid_credentials} ${text}.`)
}

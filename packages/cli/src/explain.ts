import { CaegisError } from '@caegis/protocol'

/** A failure in words that say what to do next; stacks are for bugs. */
export function explain(error: unknown): string {
  if (error instanceof CaegisError) return `${error.message} (${error.code})`
  const { code, message, cause, syscall, errorCode, errorMessage } = error as {
    code?: string
    message?: string
    cause?: { code?: string }
    syscall?: string
    errorCode?: string
    errorMessage?: string
  }
  const reason = code ?? cause?.code
  if (reason === 'EADDRINUSE') return `A port is taken already: ${message}. Stop what listens there, or choose another port with --port.`
  if (reason === 'ECONNREFUSED') return 'No server answers there. Is "caegis serve" or "caegis demo" running, and is CAEGIS_ORIGIN right?'
  if (reason === 'ENOTFOUND' || reason === 'EAI_AGAIN') return 'The name of that server is not known. Is CAEGIS_ORIGIN right?'
  // MSAL puts numbers and times around what the token endpoint said.
  const said = errorMessage?.match(/ - Description: (.+?) - Correlation ID: /s)?.[1]
  if (said !== undefined) return `${said} (${errorCode})`
  if (syscall === 'open') return `That file cannot be read: ${message}`
  if (reason === 'DEPTH_ZERO_SELF_SIGNED_CERT' || reason === 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' || reason === 'SELF_SIGNED_CERT_IN_CHAIN') {
    return "The server's certificate is not trusted. Point CAEGIS_DATA at its data folder, whose tls/ca.pem is then trusted."
  }
  return error instanceof Error ? (process.env.CAEGIS_LOG === 'debug' ? (error.stack ?? error.message) : error.message) : String(error)
}

import type { Command } from 'commander'

export interface GatewayFlags {
  issuer: string
  audience: string
  clientId: string
  listen: string
  origin?: string
  allowRemote?: boolean
  routes?: string
  trustedProxies?: string
  staleness: 'best-effort' | 'strict'
  maxStaleness?: string
  unavailable: string
  assertionAudience?: string
  assertionIssuer?: string
  assertionKey?: string
  metrics?: boolean
  data: string
  json?: boolean
}

export function addGateway(program: Command): void {
  program
    .command('gateway')
    .description('Guard applications of any language behind nginx, Caddy, Traefik, Envoy or Apache, which ask here about each request.')
    .requiredOption('--issuer <url>', 'who issues the tokens, as in their iss')
    .requiredOption('--audience <name>', 'for whom they must be, as in their aud')
    .requiredOption('--client-id <id>', "the API's own application; its secret is CAEGIS_CLIENT_SECRET or in CAEGIS_CLIENT_SECRET_FILE")
    .option('--listen <address:port>', 'where proxies ask', '127.0.0.1:9000')
    .option(
      '--origin <urls>',
      'the origins under which clients know the applications (DPoP), such as https://api.example; without it, what the proxy tells',
    )
    .option('--allow-remote', 'listen where other machines reach it; needs --trusted-proxies')
    .option('--trusted-proxies <ranges>', 'the proxies that may ask, and whose X-Forwarded-For is believed')
    .option('--routes <file>', 'what is asked where (YAML); without it, a good token everywhere')
    .option('--staleness <best-effort|strict>', 'strict: nothing is allowed while revocations may be missing', 'best-effort')
    .option('--max-staleness <seconds>', 'how old knowledge may be (30)')
    .option('--unavailable <503|401>', 'the answer while nothing can be known; nginx makes a 500 of a 503', '503')
    .option('--assertion-audience <name>', 'aud of the JWT for the application (as --audience)')
    .option('--assertion-issuer <name>', 'iss of the JWT for the application (http:// and where it listens)')
    .option('--assertion-key <file>', 'P-256 private key (PEM) that signs it, shared by gateways that stand side by side')
    .option('--metrics', 'figures for Prometheus at /metrics of this listener, to whoever reaches it')
    .option('--data <folder>', 'a data folder whose tls/ca.pem is trusted [CAEGIS_DATA]', process.env.CAEGIS_DATA ?? '.caegis')
    .option('--json', 'say in JSON where it listens')
    .action(async (options: GatewayFlags) => {
      const { runGateway } = await import('../gateway.ts')
      await runGateway(options)
    })
}

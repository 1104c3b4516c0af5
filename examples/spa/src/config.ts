/** What the page is told at start by `/config.json` of its own origin. */
export interface Config {
  authority: string
  /** `host:port` of the authority. */
  knownAuthorities: string[]
  clientId: string
  scopes: string[]
  /** Origin of the API. */
  api: string
  /** Where an administrator revokes. */
  console?: string
}

export async function loadConfig(): Promise<Config> {
  const response = await fetch('./config.json', { cache: 'no-store' })
  if (!response.ok) throw new Error(`config.json: ${response.status}`)
  const config = (await response.json()) as Config
  for (const name of ['authority', 'clientId', 'api'] as const) if (typeof config[name] !== 'string') throw new Error(`config.json has no ${name}`)
  for (const name of ['knownAuthorities', 'scopes'] as const) if (!Array.isArray(config[name])) throw new Error(`config.json has no ${name}`)
  return config
}

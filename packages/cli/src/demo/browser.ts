/** The part of a browser that a scripted sign-in needs: cookies, redirects, and a form. Fresh for every person. */
export interface Browser {
  /**
   * Opens the authorization URL, signs in on the page that comes up (or not, when a session is still good) and follows redirects until they lead to `redirectUri`.
   * @returns the final URL, with the code or the error
   * @throws Error with the page's own words when the sign-in is refused
   */
  signIn(url: string, redirectUri: string, person: { username: string; password: string; code?: () => string }): Promise<URL>
  /** Opens a page and follows redirects, if need be until they lead to `until`; for pages that are no sign-in. */
  open(url: string, form?: Record<string, string>, until?: string): Promise<{ url: URL; status: number; text: string }>
  /** Posts a form and stops at the redirect that answers it. */
  submit(url: string, form: Record<string, string>): Promise<string>
}

const MAX_STEPS = 15

export function createBrowser(fetch: typeof globalThis.fetch = globalThis.fetch): Browser {
  /** Cookies by origin, path and name. */
  const jar = new Map<string, { origin: string; path: string; name: string; value: string }>()

  /** Hidden fields of the last page, which a form sends along when it is posted to where it stands. */
  let last: { url: string; hidden: Record<string, string> } = { url: '', hidden: {} }
  const remember = (url: URL, text: string) => {
    const found = [...text.matchAll(/<input type="hidden" name="([\w-]+)" value="([^"]*)"/g)]
    last = { url: url.href, hidden: Object.fromEntries(found.map((match) => [match[1], match[2]])) }
    return text
  }

  async function send(url: URL, form?: Record<string, string>): Promise<Response> {
    const cookies = [...jar.values()].filter((one) => one.origin === url.origin && url.pathname.startsWith(one.path))
    const response = await fetch(url, {
      redirect: 'manual',
      headers: { accept: 'text/html', ...(cookies.length > 0 ? { cookie: cookies.map((one) => `${one.name}=${one.value}`).join('; ') } : {}) },
      ...(form ? { method: 'POST', body: new URLSearchParams({ ...(last.url === url.href ? last.hidden : {}), ...form }) } : {}),
    })
    for (const line of response.headers.getSetCookie()) {
      const [pair = '', ...attributes] = line.split(';').map((part) => part.trim())
      const name = pair.slice(0, pair.indexOf('='))
      const value = pair.slice(pair.indexOf('=') + 1)
      const path = attributes.find((one) => one.toLowerCase().startsWith('path='))?.slice(5) ?? '/'
      const gone = attributes.some((one) => /^expires=thu, 01 jan 1970/i.test(one) || /^max-age=0$/i.test(one))
      const key = `${url.origin} ${path} ${name}`
      if (gone || value === '') jar.delete(key)
      else jar.set(key, { origin: url.origin, path, name, value })
    }
    return response
  }

  async function follow(start: URL, form: Record<string, string> | undefined, until?: string): Promise<{ url: URL; response?: Response }> {
    let url = start
    let body = form
    for (let step = 0; step < MAX_STEPS; step++) {
      if (until !== undefined && url.href.startsWith(until)) return { url }
      const response = await send(url, body)
      body = undefined
      const location = response.headers.get('location')
      if (response.status < 300 || response.status >= 400 || location === null) return { url, response }
      await response.body?.cancel()
      url = new URL(location, url)
    }
    throw new Error('the sign-in never ended: too many redirects')
  }

  return {
    async signIn(url, redirectUri, { username, password, code }) {
      const first = await follow(new URL(url), undefined, redirectUri)
      if (!first.response) return first.url
      const page = remember(first.url, await first.response.text())
      if (!page.includes('name="password"')) throw new Error(`no sign-in page: ${words(page)}`)
      const second = await follow(first.url, { username, password }, redirectUri)
      if (!second.response) return second.url
      const next = remember(second.url, await second.response.text())
      if (!code || !next.includes('name="code"')) throw new Error(words(next))
      const third = await follow(second.url, { code: code() }, redirectUri)
      if (!third.response) return third.url
      throw new Error(words(remember(third.url, await third.response.text())))
    },
    async submit(url, form) {
      const response = await send(new URL(url), form)
      await response.body?.cancel()
      return new URL(response.headers.get('location') ?? url, url).href
    },
    async open(url, form, until) {
      const { url: final, response } = await follow(new URL(url), form, until)
      return { url: final, status: response?.status ?? 0, text: remember(final, (await response?.text()) ?? '') }
    },
  }
}

/** What a page says, without its markup. */
function words(page: string): string {
  const alert = page.match(/role="alert">([^<]*)</)
  return (alert?.[1] ?? page.replace(/<style[\s\S]*?<\/style>|<title>[\s\S]*?<\/title>|<[^>]*>/g, ' ')).replace(/\s+/g, ' ').trim().slice(0, 300)
}

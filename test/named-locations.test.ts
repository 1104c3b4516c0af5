import { describe, expect, it } from 'vitest'
import { SECRET } from './loop.ts'
import { aboutAll, administerPolicies, BLOCK, client, eventsSince, LOCATIONS, loop, POLICIES, refusal, seq, version } from './policy-admin.ts'

administerPolicies()

describe('named locations', () => {
  it('of addresses and of countries are made, shown, listed, changed and deleted', async () => {
    const made = await client.api(LOCATIONS).post({
      '@odata.type': '#microsoft.graph.ipNamedLocation',
      ...{ displayName: 'Office', isTrusted: true },
      ipRanges: [
        { '@odata.type': '#microsoft.graph.iPv4CidrRange', cidrAddress: '192.0.2.0/24' },
        { '@odata.type': '#microsoft.graph.iPv6CidrRange', cidrAddress: '2001:db8::/32' },
      ],
    })
    expect(made).toMatchObject({
      ...{ '@odata.type': '#microsoft.graph.ipNamedLocation', displayName: 'Office', isTrusted: true },
      ipRanges: [
        { '@odata.type': '#microsoft.graph.iPv4CidrRange', cidrAddress: '192.0.2.0/24' },
        { '@odata.type': '#microsoft.graph.iPv6CidrRange', cidrAddress: '2001:db8::/32' },
      ],
    })
    const country = await client.api(LOCATIONS).post({
      ...{ '@odata.type': '#microsoft.graph.countryNamedLocation', displayName: 'Abroad', countriesAndRegions: ['FR', 'NO'] },
      includeUnknownCountriesAndRegions: true,
    })
    expect(country).toMatchObject({
      countriesAndRegions: ['FR', 'NO'],
      includeUnknownCountriesAndRegions: true,
      countryLookupMethod: 'clientIpAddress',
    })
    expect(country).not.toHaveProperty('ipRanges')
    const list = await client.api(LOCATIONS).orderby('displayName').get()
    expect(list.value.map(({ displayName }: { displayName: string }) => displayName)).toEqual(['Abroad', 'Office'])
    expect(list.value[1]).not.toHaveProperty('ipRanges')
    expect((await client.api(LOCATIONS).filter('isTrusted eq true').select('ipRanges').get()).value).toMatchObject([{ ipRanges: made.ipRanges }])

    const url = `${LOCATIONS}/${made.id}`
    const before = [await version(), await seq()]
    await client.api(url).patch(await client.api(url).get())
    await client.api(url).patch({ isTrusted: true })
    expect([await version(), await seq()]).toEqual(before)
    await client.api(url).patch({ displayName: 'The office' })
    expect(await seq()).toBe(before[1])
    expect((await client.api(url).get()).ipRanges).toEqual(made.ipRanges)
    await client.api(url).patch({ ipRanges: ['198.51.100.7'] })
    expect(await eventsSince(before[1] as number)).toEqual(['location-rules-changed'])
    expect(await client.api(url).get()).toMatchObject({ displayName: 'The office', isTrusted: true, ipRanges: [{ cidrAddress: '198.51.100.7' }] })
    expect(await refusal(client.api(url).header('If-Match', made['@odata.etag']).patch({ isTrusted: false }))).toMatchObject({ status: 412 })

    expect(await refusal(client.api(url).patch({ ipRanges: ['198.51.100.0/24', '198.51.100.0/99', 'x'], isTrusted: 1, colour: 2 }))).toMatchObject({
      ...{ status: 400, paths: expect.arrayContaining(['/colour', '/isTrusted', '/ipRanges/1', '/ipRanges/2']) },
    })
    const kind = { '@odata.type': '#microsoft.graph.countryNamedLocation', countriesAndRegions: ['FR'], isTrusted: undefined, ipRanges: undefined }
    expect(await refusal(client.api(url).patch(kind))).toMatchObject({ status: 400 })
    expect(await refusal(client.api(LOCATIONS).post({ displayName: 'Abroad', ipRanges: ['192.0.2.1'] }))).toMatchObject({ status: 409 })
    expect(await refusal(client.api(LOCATIONS).post({ displayName: 'x', countriesAndRegions: ['de'] }))).toMatchObject({
      paths: ['/countriesAndRegions/0'],
    })

    expect(await refusal(client.api(url).delete())).toMatchObject({ status: 400, message: expect.stringContaining('trusted') })
    await client.api(url).patch({ isTrusted: false })
    await client.api(url).delete()
    await client.api(`${LOCATIONS}/${country.id}`).delete()
    expect(await refusal(client.api(url).get())).toMatchObject({ status: 404 })
    expect((await client.api(LOCATIONS).get()).value).toEqual([])
  })

  it('that a policy names cannot be deleted, and what depends on one is decided again', async () => {
    const place = await client.api(LOCATIONS).post({ displayName: 'Named', ipRanges: ['192.0.2.0/24'] })
    const locations = { includeLocations: [place.id] }
    const policy = { displayName: 'from there', state: 'disabled', grantControls: BLOCK, conditions: { ...aboutAll, locations } }
    const { id } = await client.api(POLICIES).post(policy)
    expect(await refusal(client.api(`${LOCATIONS}/${place.id}`).delete())).toMatchObject({ status: 409, code: 'Request_Conflict' })
    await client.api(`${POLICIES}/${id}`).delete()
    await client.api(`${LOCATIONS}/${place.id}`).delete()
  })

  it('a list shows no ranges unasked, however many there are', async () => {
    const ranges = Array.from({ length: 20_000 }, (_, at) => `10.${at >> 10}.${(at >> 2) & 255}.${(at & 3) << 6}/26`)
    const made = await client.api(LOCATIONS).post({ displayName: 'Everywhere', ipRanges: ranges })
    expect(made.ipRanges).toHaveLength(ranges.length)
    const list = JSON.stringify(await client.api(LOCATIONS).get())
    expect(list).toContain('Everywhere')
    expect(list.length).toBeLessThan(1000)
    const { ipRanges } = (await client.api(`${LOCATIONS}/${made.id}`).select('ipRanges').get()) as { ipRanges: { cidrAddress: string }[] }
    expect(ipRanges.map(({ cidrAddress }) => cidrAddress)).toEqual(ranges)
    await client.api(`${LOCATIONS}/${made.id}`).delete()
  })

  it('larger than the bound are refused, and so is whoever may not write them, before anything is read', async () => {
    const send = (token: string, length: number) =>
      fetch(`${loop.origin}/v1.0${LOCATIONS}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: ' '.repeat(length),
      }).then(
        ({ status }) => status,
        () => 'ended',
      )
    const scope = `${loop.origin}/.default`
    expect([413, 'ended']).toContain(await send(await loop.daemonToken('nightly', scope), 64 * 1024 * 1024 + 1))
    await loop.server.apply(
      JSON.stringify({
        tenant: { name: 'contoso' },
        applications: [{ appId: 'reader', type: 'daemon', clientSecret: SECRET, permissions: ['graph/Policy.Read.All'] }],
      }),
    )
    expect([403, 'ended']).toContain(await send(await loop.daemonToken('reader', scope), 8 * 1024 * 1024))
    expect((await loop.graph('POST', POLICIES, { displayName: ' '.repeat(1024 * 1024) })).status).toBe(413)
  })
})

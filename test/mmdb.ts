/** What is known of a network: the country, or nothing that can be read. */
export interface CountryOfNetwork {
  /** IPv4, as in `192.0.2.0/24`. */
  network: string
  /** ISO 3166 code; `undefined` writes a record that is damaged. */
  country: string | undefined
  /** Degrees and kilometres, in a database of cities. */
  place?: { latitude: number; longitude: number; radius?: number }
}

/** A node of the tree: for each bit another node, or the place of a record. */
type Tree = [Tree | { record: number } | undefined, Tree | { record: number } | undefined]

/** Between the tree and the records (MaxMind DB 2.0, data section separator). */
const SEPARATOR = Buffer.alloc(16)
const MARKER = Buffer.concat([Buffer.from('abcdef', 'hex'), Buffer.from('MaxMind.com')])

/** A database of countries, or of cities when one has a place, in the MaxMind DB format 2.0, for IPv4: as much of it as it takes to be read. */
export function writeCountries(networks: readonly CountryOfNetwork[]): Buffer {
  const root: Tree = [undefined, undefined]
  const nodes: Tree[] = [root]
  const records: Buffer[] = []
  let place = 0
  for (const { network, country, place: where } of networks) {
    const [address = '', prefix = '32'] = network.split('/')
    const bits = address
      .split('.')
      .map((part) => Number(part).toString(2).padStart(8, '0'))
      .join('')
      .slice(0, Number(prefix))
    // A control byte of type 0 whose next byte names no type.
    const record =
      country === undefined
        ? Buffer.from([0, 0])
        : map({ country: map({ iso_code: text(country) }), ...(where ? { location: locationOf(where) } : {}) })
    put(bits, { record: place })
    records.push(record)
    place += record.length
  }

  function put(bits: string, leaf: { record: number }): void {
    let node = root
    for (const bit of bits.slice(0, -1)) {
      const side = Number(bit)
      let next = node[side]
      if (next === undefined) {
        const made: Tree = [undefined, undefined]
        nodes.push(made)
        next = node[side] = made
      }
      if (!Array.isArray(next)) throw new Error('two networks lie in each other')
      node = next
    }
    node[Number(bits.at(-1))] = leaf
  }

  const numbers = new Map(nodes.map((node, number) => [node, number]))
  const tree = Buffer.alloc(nodes.length * 8)
  nodes.forEach((node, number) => {
    node.forEach((side, at) => {
      const value = Array.isArray(side) ? (numbers.get(side) as number) : nodes.length + (side ? SEPARATOR.length + side.record : 0)
      tree.writeUInt32BE(value, number * 8 + at * 4)
    })
  })
  const metadata = map({
    ...{ node_count: number(nodes.length, 6, 4), record_size: number(32, 5, 2), ip_version: number(4, 5, 2) },
    ...{
      database_type: text(networks.some(({ place }) => place) ? 'Test-City' : 'Test-Country'),
      binary_format_major_version: number(2, 5, 2),
      binary_format_minor_version: number(0, 5, 2),
    },
    ...{ build_epoch: Buffer.concat([Buffer.from([8, 2]), Buffer.alloc(8)]), description: map({}), languages: Buffer.from([0, 4]) },
  })
  return Buffer.concat([tree, SEPARATOR, ...records, MARKER, metadata])
}

/** Values begin with three bits of their type and five of their length. */
function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  // Longer ones have their length in the next byte.
  const head = bytes.length < 29 ? [(2 << 5) | bytes.length] : [(2 << 5) | 29, bytes.length - 29]
  return Buffer.concat([Buffer.from(head), bytes])
}

function map(members: Record<string, Buffer>): Buffer {
  const entries = Object.entries(members)
  return Buffer.concat([Buffer.from([(7 << 5) | entries.length]), ...entries.flatMap(([name, value]) => [text(name), value])])
}

function locationOf({ latitude, longitude, radius }: NonNullable<CountryOfNetwork['place']>): Buffer {
  const certain = radius === undefined ? {} : { accuracy_radius: number(radius, 5, 2) }
  return map({ latitude: double(latitude), longitude: double(longitude), ...certain })
}

function double(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleBE(value)
  return Buffer.concat([Buffer.from([(3 << 5) | 8]), bytes])
}

function number(value: number, type: 5 | 6, length: 2 | 4): Buffer {
  const bytes = Buffer.alloc(length)
  bytes.writeUIntBE(value, 0, length)
  return Buffer.concat([Buffer.from([(type << 5) | length]), bytes])
}

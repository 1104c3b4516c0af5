import type { TransmitterModule } from './session.ts'

export const subjectControl: TransmitterModule = {
  name: 'openid-ssf-stream-subject-control',
  async run({ notes, metadata, under, create, call, url }) {
    const missing = ['add_subject_endpoint', 'remove_subject_endpoint'].filter((name) => metadata[name] === undefined)
    if (missing.length > 0) return notes.skip(`the metadata names no ${missing.join(' and no ')}`)
    if (!under.subject) return notes.stop('configuration', '`subject` is missing')
    const { id } = await create()
    const done = async (what: 'add' | 'remove', wanted: number, body: object) => {
      const spec = what === 'add' ? 'SSF 1.0 section 8.1.3.2' : 'SSF 1.0 section 8.1.3.3'
      const { status } = await call('POST', url(`${what}_subject_endpoint`), { body: { stream_id: id, subject: under.subject, ...body } })
      if (notes.must(status >= 200 && status < 300, spec, `to ${what} a subject is answered ${status}`)) {
        notes.should(status === wanted, spec, `to ${what} a subject is answered ${status}, not ${wanted}`)
      }
    }
    await done('add', 200, { verified: true })
    await done('remove', 204, {})
  },
}

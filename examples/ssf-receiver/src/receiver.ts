import { createReceiver } from '@caegis/ssf/receiver'

const { TRANSMITTER = '', CLIENT_ID = '', CLIENT_SECRET = '', TOKEN_ENDPOINT = '' } = process.env
const receiver = createReceiver({
  transmitter: TRANSMITTER,
  credentials: { clientId: CLIENT_ID, clientSecret: CLIENT_SECRET, tokenEndpoint: TOKEN_ENDPOINT },
  delivery: 'poll', // or { push: { endpointUrl, authorizationHeader } }, and app.post('/ssf', expressHandler(receiver))
  insecure: TRANSMITTER.startsWith('http://localhost:'),
  on: {
    'session-revoked': ({ subject, at }) => console.log('end what began by', at, 'for', JSON.stringify(subject)),
    'credential-change': ({ subject, payload }) => console.log(payload.change_type, payload.credential_type, JSON.stringify(subject)),
  },
})
await receiver.start()
process.once('SIGTERM', () => void receiver.close({ delete: true }))

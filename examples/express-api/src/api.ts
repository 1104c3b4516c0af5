import { createGuard } from '@caegis/guard'
import { protect } from '@caegis/guard/express'
import express from 'express'

const { ISSUER = 'https://localhost:8443/contoso/v2.0', CLIENT_SECRET = '', PORT = '3000' } = process.env
const guard = createGuard({ issuer: ISSUER, audience: 'api://files', clientId: 'files-api', clientSecret: CLIENT_SECRET, log: console })

const app = express()
app.use(protect(guard))
app.get('/files', (request, response) => {
  response.json({ files: [], user: request.auth?.claims.oid })
})
await guard.ready()
const server = app.listen(Number(PORT))
process.once('SIGTERM', () => server.close(() => guard.close()))

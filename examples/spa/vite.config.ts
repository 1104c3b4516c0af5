import react from '@vitejs/plugin-react'
import { defaultClientConditions, defineConfig } from 'vite'

export default defineConfig({
  base: './',
  plugins: [react()],
  // In a checkout the packages are taken from source, without a build.
  resolve: { conditions: ['caegis-source', ...defaultClientConditions] },
  // No inlined data: URLs, so that a strict content security policy can stay strict.
  build: { outDir: 'dist', assetsInlineLimit: 0, chunkSizeWarningLimit: 800 },
})

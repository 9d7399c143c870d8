"""SampleData: registering samples, and making those that need no network.

Slicer's module of this name downloads files; a test must not, so a source without a ``customDownloader`` cannot be
fetched here.
"""

import dataclasses
import sys
import types
import typing

import slicer

from . import modules


@dataclasses.dataclass
class SampleDataSource:
    sampleName: typing.Any = None
    uris: typing.Any = None
    fileNames: typing.Any = None
    nodeNames: typing.Any = None
    thumbnailFileName: typing.Any = None
    loadFileTypes: typing.Any = None
    loadFiles: typing.Any = None
    loadFileProperties: typing.Any = None
    checksums: typing.Any = None
    customDownloader: typing.Any = None


class SampleDataLogic:
    def __init__(self, logMessage=None):
        if logMessage:
            self.logMessage = logMessage

    def logMessage(self, message, logLevel=None):
        pass

    @staticmethod
    def registerCustomSampleDataCategory(category, title):
        slicer.modules.sampleDataSourceCategories[category] = {"title": title}

    @staticmethod
    def registerCustomSampleDataSource(
        category="Custom",
        sampleName=None,
        uris=None,
        fileNames=None,
        nodeNames=None,
        customDownloader=None,
        thumbnailFileName=None,
        loadFileTypes=None,
        loadFiles=None,
        loadFileProperties=None,
        checksums=None,
    ):
        source = SampleDataSource(
            sampleName=sampleName,
            uris=uris,
            fileNames=fileNames,
            nodeNames=nodeNames,
            thumbnailFileName=thumbnailFileName,
            loadFileTypes=loadFileTypes,
            loadFiles=loadFiles,
            loadFileProperties=loadFileProperties,
            checksums=checksums,
            customDownloader=customDownloader,
        )
        sources = slicer.modules.sampleDataSources.setdefault(category, [])
        if source not in sources:
            sources.append(source)

    @staticmethod
    def sampleDataSourcesByCategory(category=None):
        sources = slicer.modules.sampleDataSources
        return sources if category is None else sources.get(category, [])

    @staticmethod
    def isSampleDataSourceRegistered(category, sampleDataSource):
        return sampleDataSource in SampleDataLogic.sampleDataSourcesByCategory(category)

    def sourceForSampleName(self, sampleName):
        for sources in slicer.modules.sampleDataSources.values():
            for source in sources:
                if source.sampleName == sampleName:
                    return source
        return None

    def downloadFromSource(self, source):
        if source.customDownloader is None:
            raise RuntimeError(f"The test host downloads nothing: sample {source.sampleName} has no customDownloader")
        return source.customDownloader(source)

    def downloadSamples(self, sampleName):
        source = self.sourceForSampleName(sampleName)
        nodes = self.downloadFromSource(source) if source else []
        return nodes if isinstance(nodes, list) else [nodes]

    def downloadSample(self, sampleName):
        return self.downloadSamples(sampleName)[0]


def install():
    slicer.app.moduleManager()._register(modules.qSlicerLoadableModule("SampleData", None))
    slicer.modules.sampleDataSources = {}
    slicer.modules.sampleDataSourceCategories = {}
    module = types.ModuleType("SampleData", __doc__)
    module.SampleDataLogic, module.SampleDataSource = SampleDataLogic, SampleDataSource
    module.downloadSample = lambda sampleName: SampleDataLogic().downloadSample(sampleName)
    module.downloadSamples = lambda sampleName: SampleDataLogic().downloadSamples(sampleName)
    sys.modules["SampleData"] = module
